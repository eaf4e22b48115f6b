// SPDX-License-Identifier: Apache-2.0

/// What this executable was built from.
package enum BuildInformation {
    package static let version = "0.1.0"

    package static let configuration: String = {
        #if DEBUG
        "debug"
        #else
        "release"
        #endif
    }()
}
