// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// The router's listener and limits.
    package struct Router: Sendable, Equatable {
        package var listen = ListenAddress(host: "127.0.0.1", port: 5347)
        /// A further address, with TLS, for processes on other hosts; nil: none.
        package var tlsListen: ListenAddress?
        /// PEM files of the chain and the key that are shown there; nil: those of the main domain.
        package var tlsCertificate: String?
        package var tlsKey: String?
        /// The routers on other hosts, which are linked to with TLS.
        package var remote: [RemoteRouter] = []
        package var limits = RouterLimits()

        package init() {}
    }

    /// A router on another host.
    package struct RemoteRouter: Sendable, Equatable {
        /// Its `tls_listen`, by address or by name.
        package var address = ListenAddress(host: "", port: 0)
        /// PEM file: its certificate, or that of the authority that signed it.
        package var certificate = ""
        /// The name that its certificate must be for; nil: the host in `address`.
        package var name: String?

        package init() {}
    }

    /// What a component may cost the router.
    package struct RouterLimits: Sendable, Equatable {
        /// Bytes that may wait for a component; beyond it our own link is reset, an external one's stanzas bounce. From
        /// half of it on, an edge that sends to an instance is slowed down.
        package var queueBytes = 16 << 20
        /// Bytes at which the senders of an external component are slowed down.
        package var queueHighWater = 1 << 20
        /// Bytes of one stanza on an internal link (a client's stanza and its wrapper).
        package var internalStanzaBytes = 4 << 20
        package var stanzaBytes = 512 << 10
        package var stanzaBytesBeforeHandshake = 8 << 10
        package var depth = 128
        package var attributes = 64
        /// Elements and attributes of one stanza.
        package var nodes = 16_384
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

extension JackdawConfiguration.Router {
    mutating func read(_ section: SectionReader) {
        section.address("listen", &listen)
        section.optionalAddress("tls_listen", &tlsListen)
        section.optionalPath("tls_certificate", &tlsCertificate)
        section.optionalPath("tls_key", &tlsKey)
        if let elements = section.list("remote", of: "routers") {
            remote = elements.map { node, path in
                var router = JackdawConfiguration.RemoteRouter()
                let entry = SectionReader(node, path: path, collector: section.collector)
                router.read(entry)
                entry.finish()
                return router
            }
        }
        section.section("limits") { limits.read($0) }
    }
}

extension JackdawConfiguration.RemoteRouter {
    mutating func read(_ section: SectionReader) {
        section.remoteAddress("address", &address)
        section.path("certificate", &certificate)
        var given = ""
        if section.peek("name")?.isNull == false { section.text("name", &given) } else { _ = section.take("name") }
        name = given.isEmpty ? nil : given
        if section.peek("address") == nil || section.peek("certificate") == nil {
            section.collector.report(section.mark, "a remote router needs 'address' and 'certificate'")
        }
    }
}

extension JackdawConfiguration.RouterLimits {
    mutating func read(_ section: SectionReader) {
        // What our processes hold back at and read at most (4 MiB each) fits into a queue.
        section.bytes("queue_bytes", &queueBytes, in: 8 << 20...1 << 30)
        section.bytes("queue_high_water", &queueHighWater, in: 64 << 10...1 << 30)
        section.bytes("internal_stanza_bytes", &internalStanzaBytes, in: 64 << 10...4 << 20)
        section.bytes("stanza_bytes", &stanzaBytes, in: 10_000...16 << 20)
        section.bytes("stanza_bytes_before_handshake", &stanzaBytesBeforeHandshake, in: 1 << 10...1 << 20)
        section.integer("depth", &depth, in: 8...1_000)
        section.integer("attributes", &attributes, in: 8...1_000)
        section.integer("nodes", &nodes, in: 256...60_000)
        section.integer("connections", &connections, in: 4...65_536)
        section.integer("connections_per_address", &connectionsPerAddress, in: 1...65_536)
        section.duration("handshake_timeout", &handshakeTimeout, in: .milliseconds(100) ... .seconds(300))
        section.duration("keep_alive", &keepAlive, in: .seconds(1) ... .seconds(3_600))
    }
}

extension JackdawConfiguration.Component {
    mutating func read(_ section: SectionReader) {
        section.domains("names", &names)
        section.path("secret_file", &secretFile)
        section.boolean("internal", &isInternal)
        section.boolean("default_route", &isDefaultRoute)
        if section.peek("names") == nil || section.peek("secret_file") == nil {
            section.collector.report(section.mark, "a component needs 'names' and 'secret_file'")
        } else if names.isEmpty {
            section.collector.report(at: section.fullPath("names"), "at least one name is expected")
        }
    }
}
