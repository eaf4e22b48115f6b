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

    /// A port for clients.
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
        package var unauthenticatedConnections = 4_096
        package var unauthenticatedPerAddress = 50
        /// IPv6 clients count by a prefix of so many bits.
        package var ipv6Prefix = 64
        /// TLS handshakes that may be under way at a time.
        package var handshakes = 1_024
        /// Failed logins of one connection, after which its stream ends.
        package var loginFailures = 3
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
        /// After so long without progress a waiting output is given up.
        package var write: Duration = .seconds(60)
        /// The time that a stop gives clients to be told.
        package var drain: Duration = .seconds(5)

        package init() {}
    }
}
