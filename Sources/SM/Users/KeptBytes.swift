// SPDX-License-Identifier: Apache-2.0

/// The bytes that are kept until clients acknowledge them: of a user, and within that of the process.
///
/// A message counts once, however many sessions have a copy of it, since they share its bytes. Confined to the server's
/// event loop.
final class KeptBytes {
    private(set) var bytes = 0
    private let whole: KeptBytes?

    /// - Parameter whole: what counts it as well.
    init(within whole: KeptBytes? = nil) {
        self.whole = whole
    }

    func add(_ change: Int) {
        guard change != 0 else { return }
        bytes += change
        whole?.add(change)
    }
}
