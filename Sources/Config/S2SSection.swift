// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// Federation: the edge towards other servers.
    package struct S2S: Sendable, Equatable {
        package var listeners = [
            Listener(address: ListenAddress(host: "::", port: 5269), tls: .startTLS),
            Listener(address: ListenAddress(host: "::", port: 5270), tls: .direct),
        ]
        /// The domains that may federate with us; empty: all. `example.net` is the host and everything below it,
        /// `=example.net` the host alone.
        package var allow: [DomainPattern] = []
        /// The domains that may not, whatever `allow` says.
        package var deny: [DomainPattern] = []
        /// What holds for every domain that `domains` does not name.
        package var policy = FederationPolicy()
        package var domains: [RemoteDomain] = []
        /// What becomes of a stanza of which nobody knows whether it arrived.
        package var inDoubt = InDoubt.report
        package var dns = DNS()
        /// PEM file, or directory of hashed files, with the authorities that are trusted; nil: those of the system.
        package var authorities: String?
        package var limits = S2SLimits()
        package var timeouts = S2STimeouts()

        package init() {}
    }

    /// What is said of a stanza that was sent and not acknowledged when its link was lost.
    package enum InDoubt: String, Sendable, CaseIterable {
        /// Its sender gets an error that says that it may have arrived.
        case report
        /// It is sent again, and may arrive twice.
        case resend
    }

    /// How safely we talk with another server.
    package struct FederationPolicy: Sendable, Equatable {
        package enum TLSUse: String, Sendable, CaseIterable {
            case required
            case optional
        }
        package enum Authentication: String, Sendable, CaseIterable {
            case certificate
            case dialback
            case any
        }
        package enum SelfSigned: String, Sendable, CaseIterable {
            /// Accepted, and the domain is proved by dialback.
            case accept
            case refuse
        }
        package enum DANE: String, Sendable, CaseIterable {
            case off
            case use
            case required
        }
        package var tls = TLSUse.required
        package var authentication = Authentication.any
        package var selfSigned = SelfSigned.accept
        package var dane = DANE.use

        package init() {}
    }

    /// What is different for one domain and, unless it begins with `=`, for those below it.
    package struct RemoteDomain: Sendable, Equatable {
        package var pattern = DomainPattern(domain: "", isExact: true)
        package var policy = FederationPolicy()
        /// Where it is, in place of what DNS says; nil: DNS.
        package var host: ListenAddress?
        /// Whether `host` speaks TLS from the first byte.
        package var isDirectTLS = false

        package init() {}
    }

    /// A host, or a host with everything below it.
    package struct DomainPattern: Sendable, Hashable, CustomStringConvertible {
        /// Prepared (RFC 7622 §3.2).
        package var domain: String
        package var isExact: Bool

        package init(domain: String, isExact: Bool) {
            self.domain = domain
            self.isExact = isExact
        }

        /// Whether it is this domain, given in its prepared form.
        package func matches(_ other: String) -> Bool {
            other == domain || (!isExact && other.hasSuffix("." + domain))
        }

        package var description: String { (isExact ? "=" : "") + domain }
    }

    /// How names are looked up.
    package struct DNS: Sendable, Equatable {
        /// Addresses of resolvers, `127.0.0.1` or `127.0.0.1@5300`; empty: those of /etc/resolv.conf.
        package var resolvers: [String] = []
        /// Files with trust anchors (DS or DNSKEY records) for DNSSEC; nil: the root's key as Debian installs it.
        package var trustAnchors: [String]?
        package var timeout: Duration = .seconds(10)

        package init() {}
    }

    /// What a peer, an address, or all of them may cost.
    package struct S2SLimits: Sendable, Equatable {
        package var connections = 5_000
        package var connectionsPerAddress = 100
        package var unauthenticatedConnections = 500
        package var stanzaBytesBeforeAuthentication = 64 << 10
        package var stanzaBytes = 512 << 10
        package var depth = 64
        package var attributes = 64
        package var nodes = 16_384
        /// Bytes that wait for a link to a domain; then what comes is answered with an error.
        package var queueBytes = 4 << 20
        package var queueBytesTotal = 256 << 20
        /// Stanzas of a peer that are not yet taken behind us; then it is read no further.
        package var unsettledStanzas = 10_000
        /// Bytes that may wait for a peer that does not read, beyond which its link ends.
        package var outputBytes = 4 << 20
        /// Pairs of domains on one stream.
        package var pairs = 1_000

        package init() {}
    }

    /// When something is given up.
    package struct S2STimeouts: Sendable, Equatable {
        /// For one address.
        package var connect: Duration = .seconds(10)
        package var authentication: Duration = .seconds(30)
        /// How long a stanza waits for a link.
        package var queue: Duration = .seconds(300)
        /// A link over which nothing went ends.
        package var idle: Duration = .seconds(600)
        package var pingAfter: Duration = .seconds(300)
        package var ping: Duration = .seconds(60)
        package var close: Duration = .seconds(5)
        package var write: Duration = .seconds(60)
        /// How long a lost stream that can be resumed is kept for the peer.
        package var resumption: Duration = .seconds(300)
        package var backoffMaximum: Duration = .seconds(300)

        package init() {}
    }
}
