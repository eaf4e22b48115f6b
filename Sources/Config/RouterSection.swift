// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// The router's listener and limits.
    package struct Router: Sendable, Equatable {
        package var listen = ListenAddress(host: "127.0.0.1", port: 5347)
        package var limits = RouterLimits()

        package init() {}
    }

    /// What a component may cost the router.
    package struct RouterLimits: Sendable, Equatable {
        /// Bytes that may wait for a component; beyond it our own link is reset, an external one's stanzas bounce.
        package var queueBytes = 16 << 20
        /// Bytes at which the senders of an external component are slowed down.
        package var queueHighWater = 1 << 20
        /// Bytes of one stanza on an internal link (a client's stanza and its wrapper).
        package var internalStanzaBytes = 2 << 20
        package var stanzaBytes = 512 << 10
        package var stanzaBytesBeforeHandshake = 8 << 10
        package var depth = 128
        package var attributes = 64
        package var connections = 256
        /// Connections without a handshake that one address may hold.
        package var connectionsPerAddress = 64
        package var handshakeTimeout: Duration = .seconds(30)
        /// A silent link is probed with white space.
        package var keepAlive: Duration = .seconds(60)

        package init() {}
    }

    /// An external component (XEP-0114) and the names it may bind.
    package struct Component: Sendable, Equatable {
        package var names: [String] = []
        package var secretFile = ""
        /// Whether it may speak our own protocols (`docs/protocols.md`) and is read without the filter for foreign XML.
        package var isInternal = false
        /// Whether it gets, and may send, what is for domains that are not ours.
        package var isDefaultRoute = false

        package init() {}
    }
}

/// A host and port to listen on: `127.0.0.1:5347`, `[::]:5222`; `[::]` listens for IPv4 as well.
package struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package var description: String {
        host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
