// SPDX-License-Identifier: Apache-2.0

/// Where a router is.
package struct RouterAddress: Sendable, Hashable, CustomStringConvertible {
    /// The router's host.
    package var host: String
    /// The router's port.
    package var port: Int

    /// Makes the address of a router.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package var description: String {
        self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}
