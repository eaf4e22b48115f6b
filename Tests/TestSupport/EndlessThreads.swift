// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Threads for what runs for as long as the process, such as a resolver's.
package enum EndlessThreads {
    /// Runs what never returns, on a thread of its own: in a pool the last ones would wait for ever.
    package static func run(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread(body)
    }
}
