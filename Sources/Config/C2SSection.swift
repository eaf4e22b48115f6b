// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// The client edge.
    package struct C2S: Sendable, Equatable {
        package var listeners = [
            Listener(address: ListenAddress(host: "::", port: 5222), tls: .startTLS),
            Listener(address: ListenAddress(host: "::", port: 5223), tls: .direct),
        ]
        package var limits = C2SLimits()
        package var timeouts = C2STimeouts()
        /// How long a broken session waits for its resumption (XEP-0198); zero: resumption is not offered.
        package var resumptionTime: Duration = .seconds(600)

        package init() {}
    }

    /// A port for clients, or for other servers.
    package struct Listener: Sendable, Equatable {
        package enum TLSMode: String, Sendable, CaseIterable {
            case startTLS = "starttls"
            case direct
        }
        package var address: ListenAddress
        package var tls: TLSMode

        package init(address: ListenAddress, tls: TLSMode) {
            self.address = address
            self.tls = tls
        }
    }

    /// What a client, an address, or all of them may cost.
    package struct C2SLimits: Sendable, Equatable {
        package var stanzaBytesBeforeLogin = 64 << 10
        package var stanzaBytes = 512 << 10
        /// Bytes of one start tag.
        package var tagBytes = 32 << 10
        package var depth = 64
        package var attributes = 64
        /// Elements and attributes of one stanza, after and before login: a parser keeps more of each than its bytes.
        package var nodes = 16_384
        package var nodesBeforeLogin = 256
        /// Stanzas that a client may send each second; a faster one is read slower.
        package var stanzasPerSecond = 100
        /// Stanzas at once after a pause; nil: as many as in one second.
        package var stanzaBurst: Int?
        package var bytesPerSecond = 256 << 10
        /// Bytes at once after a pause; nil: one stanza of `stanzaBytes`.
        package var bytesBurst: Int?
        /// Bytes that may wait for a client that does not read; then its connection is closed.
        package var outputBytes = 4 << 20
        package var connections = 50_000
        package var connectionsPerAddress = 200
        package var unauthenticatedConnections = 384
        package var unauthenticatedPerAddress = 50
        /// Memory for what all clients before login have begun to say and not finished.
        package var unauthenticatedBytes = 4 << 20
        /// IPv6 clients count by a prefix of so many bits.
        package var ipv6Prefix = 64
        /// TLS handshakes that may be under way at a time.
        package var handshakes = 96
        /// Failed logins of one connection, after which its stream ends.
        package var loginFailures = 5
        package var loginFailuresPerAccount = 20
        package var loginFailuresPerAddress = 50
        package var loginFailurePeriod: Duration = .seconds(300)
        /// Stanzas that a client may have sent without their being settled; then it is read no further.
        package var unsettledStanzas = 1_000

        package init() {}

        package var effectiveStanzaBurst: Int { stanzaBurst ?? stanzasPerSecond }
        package var effectiveBytesBurst: Int { bytesBurst ?? max(stanzaBytes, bytesPerSecond) }
    }

    /// When a connection is probed, and when it is given up.
    package struct C2STimeouts: Sendable, Equatable {
        /// From the connection to the end of resource binding or resumption.
        package var login: Duration = .seconds(30)
        /// After so long a silence the client is pinged (XEP-0199, or `<r/>` of XEP-0198).
        package var pingAfter: Duration = .seconds(300)
        /// The time for the answer.
        package var ping: Duration = .seconds(60)
        /// The time for the peer to end its stream, and its TLS, after ours.
        package var close: Duration = .seconds(5)
        /// How long what a client sent before it closed its connection is passed on, at its rate.
        package var rest: Duration = .seconds(30)
        /// After so long without progress a waiting output is given up.
        package var write: Duration = .seconds(60)
        /// The time that a stop gives clients to be told.
        package var drain: Duration = .seconds(5)

        package init() {}
    }
}

extension JackdawConfiguration.C2S {
    mutating func read(_ section: SectionReader) {
        section.listeners("listeners", &listeners)
        section.section("limits") { limits.read($0) }
        section.section("timeouts") { timeouts.read($0) }
        section.duration("resumption_time", &resumptionTime, in: .zero ... .seconds(86_400))
    }
}

extension SectionReader {
    /// The ports of an edge.
    func listeners(_ key: String, _ value: inout [JackdawConfiguration.Listener]) {
        guard let elements = list(key, of: "listeners") else { return }
        value = elements.map { node, path in
            var listener = JackdawConfiguration.Listener(address: ListenAddress(host: "::", port: 0), tls: .startTLS)
            let reader = SectionReader(node, path: path, collector: collector)
            reader.address("address", &listener.address)
            reader.choice("tls", &listener.tls)
            if reader.peek("address") == nil {
                reader.collector.report(reader.mark, "a listener needs an 'address'")
            }
            reader.finish()
            return listener
        }
    }
}

extension JackdawConfiguration.C2SLimits {
    mutating func read(_ section: SectionReader) {
        // RFC 6120 §13.12: no less than 10,000 bytes.
        section.bytes("stanza_bytes_before_login", &stanzaBytesBeforeLogin, in: 10_000...1 << 20)
        section.bytes("stanza_bytes", &stanzaBytes, in: 10_000...16 << 20)
        section.bytes("tag_bytes", &tagBytes, in: 4 << 10...1 << 20)
        section.integer("depth", &depth, in: 8...1_000)
        section.integer("attributes", &attributes, in: 8...1_000)
        section.integer("nodes", &nodes, in: 256...60_000)
        section.integer("nodes_before_login", &nodesBeforeLogin, in: 64...60_000)
        section.integer("stanzas_per_second", &stanzasPerSecond, in: 1...1_000_000)
        section.optionalInteger("stanza_burst", &stanzaBurst, in: 1...1_000_000)
        section.bytes("bytes_per_second", &bytesPerSecond, in: 1 << 10...1 << 30)
        section.optionalBytes("bytes_burst", &bytesBurst, in: 1 << 10...1 << 30)
        section.bytes("output_bytes", &outputBytes, in: 64 << 10...1 << 30)
        readConnectionLimits(section)
        section.integer("login_failures", &loginFailures, in: 1...100)
        section.integer("login_failures_per_account", &loginFailuresPerAccount, in: 1...1_000_000)
        section.integer("login_failures_per_address", &loginFailuresPerAddress, in: 1...1_000_000)
        section.duration("login_failure_period", &loginFailurePeriod, in: .seconds(1) ... .seconds(86_400))
        section.integer("unsettled_stanzas", &unsettledStanzas, in: 10...1_000_000)
    }

    private mutating func readConnectionLimits(_ section: SectionReader) {
        section.integer("connections", &connections, in: 1...1_000_000)
        section.integer("connections_per_address", &connectionsPerAddress, in: 1...1_000_000)
        section.integer("unauthenticated_connections", &unauthenticatedConnections, in: 1...1_000_000)
        section.integer("unauthenticated_per_address", &unauthenticatedPerAddress, in: 1...1_000_000)
        section.bytes("unauthenticated_bytes", &unauthenticatedBytes, in: 1 << 20...1 << 30)
        section.integer("ipv6_prefix", &ipv6Prefix, in: 16...128)
        section.integer("handshakes", &handshakes, in: 1...100_000)
    }
}

extension JackdawConfiguration.C2STimeouts {
    mutating func read(_ section: SectionReader) {
        section.duration("login", &login, in: .milliseconds(100) ... .seconds(300))
        section.duration("ping_after", &pingAfter, in: .milliseconds(100) ... .seconds(86_400))
        section.duration("ping", &ping, in: .milliseconds(100) ... .seconds(3_600))
        section.duration("close", &close, in: .milliseconds(100) ... .seconds(60))
        section.duration("rest", &rest, in: .milliseconds(100) ... .seconds(300))
        section.duration("write", &write, in: .milliseconds(100) ... .seconds(3_600))
        section.duration("drain", &drain, in: .milliseconds(100) ... .seconds(60))
    }
}
