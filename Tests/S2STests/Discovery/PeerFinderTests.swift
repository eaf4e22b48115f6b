// SPDX-License-Identifier: Apache-2.0

import Config
import DNS
import NIOCore
import NIOPosix
import TLS
import TestSupport
import Testing
import XMPPCore

@testable import S2S

/// From a domain to a connection, over a DNS server and listeners of the test's own.
@Suite struct PeerFinderTests {
    /// What came of a search, and its steps in words.
    struct Outcome: Sendable {
        var peer: FoundPeer?
        var failure: FederationFailure?
        var steps: [String]
    }

    private static func listen() async throws -> (channel: any Channel, port: Int) {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        return (channel, try #require(channel.localAddress?.port))
    }

    private static func find(
        _ domain: String,
        _ server: LocalDNS,
        override entry: JackdawConfiguration.RemoteDomain? = nil,
        usesDANE: Bool = true
    ) async throws -> Outcome {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let outcome = try await eventLoop.flatSubmit { () -> EventLoopFuture<Outcome> in
            do {
                let resolver = try DNSResolver(
                    .init(resolvers: [server.address], trustAnchors: server.anchors, timeout: .seconds(60)),
                    eventLoop: eventLoop,
                    runOnThread: EndlessThreads.run
                )
                let finder = PeerFinder(resolver: resolver, eventLoop: eventLoop, connectTimeout: .seconds(60))
                var steps: [String] = []
                let found = finder.connect(to: domain, override: entry, usesDANE: usesDANE) { steps.append($0) }
                return found.assumeIsolated().map { Outcome(peer: $0, failure: nil, steps: steps) }
                    .flatMapErrorThrowing { error in
                        guard let failure = error as? FederationFailure else { throw error }
                        return Outcome(peer: nil, failure: failure, steps: steps)
                    }.nonisolated()
            } catch {
                return eventLoop.makeFailedFuture(error)
            }
        }.get()
        // Only where it leads matters.
        try await outcome.peer?.channel.close()
        return outcome
    }

    private static func tlsa(_ port: Int, _ host: String, _ byte: String) -> String {
        "_\(port)._tcp.\(host) IN TLSA 3 1 1 \(String(repeating: byte, count: 32))"
    }

    /// A port at which nobody listens.
    private static func closedPort() async throws -> Int {
        let (channel, port) = try await Self.listen()
        try await channel.close()
        return port
    }

    @Test func `a host that does not listen is passed over, and each step is told`() async throws {
        let (listener, port) = try await Self.listen()
        let closed = try await Self.closedPort()
        let server = try LocalDNS([
            .init(
                "plain.example",
                [
                    "_xmpps-server._tcp IN SRV 1 0 \(closed) one", "_xmpp-server._tcp IN SRV 2 0 \(port) two",
                    "one IN A 127.0.0.1", "two IN A 127.0.0.1", Self.tlsa(port, "two", "ab"),
                ]
            )
        ])
        let outcome = try await Self.find("plain.example", server)
        let peer = try #require(outcome.peer)
        #expect(peer.target == Target(host: "two.plain.example", port: port, isDirectTLS: false, isSecure: false))
        #expect(peer.associations.isEmpty)
        #expect(outcome.steps.contains("SRV _xmpp-server._tcp.plain.example: 2 0 \(port) two.plain.example"))
        #expect(outcome.steps.contains("one.plain.example:\(closed) (direct TLS): the connection is refused"))
        #expect(outcome.steps.last == "connected to two.plain.example:\(port) at 127.0.0.1")
        try await listener.close()
    }

    @Test func `where no host listens, the last reason is told`() async throws {
        let closed = try await Self.closedPort()
        let server = try LocalDNS([
            .init("plain.example", ["_xmpp-server._tcp IN SRV 2 0 \(closed) two", "two IN A 127.0.0.1"])
        ])
        let failure = try await Self.find("plain.example", server).failure
        let text = "plain.example cannot be reached at two.plain.example:\(closed): the connection is refused"
        #expect(failure == FederationFailure(.remoteServerTimeout, text))
    }

    @Test func `a domain that says that it has no server is believed`() async throws {
        let server = try LocalDNS([
            .init("plain.example", ["_xmpp-server._tcp IN SRV 0 0 0 .", "@ IN A 127.0.0.1"])
        ])
        let failure = try await Self.find("plain.example", server).failure
        let text = "plain.example says in DNS that it has no XMPP server"
        #expect(failure == FederationFailure(.remoteServerNotFound, text, isFinal: true))
    }

    @Test func `without records the host itself is tried, which may not be there`() async throws {
        let server = try LocalDNS([.init("plain.example", [])])
        let outcome = try await Self.find("chat.plain.example", server)
        let text = "chat.plain.example is not in DNS"
        #expect(outcome.failure == FederationFailure(.remoteServerNotFound, text, isFinal: true))
        #expect(outcome.steps.contains("there is no SRV record, so the host chat.plain.example itself is tried"))
    }

    @Test func `where DNS fails, that is told`() async throws {
        let server = try LocalDNS([.init("plain.example", [])])
        let failure = try await Self.find("elsewhere.net", server).failure
        let text = "DNS could not be asked for the server of elsewhere.net"
        #expect(failure == FederationFailure(.remoteServerTimeout, text))
    }

    @Test func `the configuration's host is connected to without DNS`() async throws {
        let (listener, port) = try await Self.listen()
        let server = try LocalDNS([])
        var entry = JackdawConfiguration.RemoteDomain()
        entry.host = ListenAddress(host: "127.0.0.1", port: port)
        entry.isDirectTLS = true
        let peer = try #require(try await Self.find("elsewhere.net", server, override: entry).peer)
        #expect(peer.target == Target(host: "127.0.0.1", port: port, isDirectTLS: true, isSecure: false))
        try await listener.close()
    }

    // MARK: - DNSSEC

    @Test func `records of a signed zone come with the connection, if they are wanted`() async throws {
        let (listener, port) = try await Self.listen()
        let server = try LocalDNS([
            .init(
                "signed.example",
                ["_xmpp-server._tcp IN SRV 2 0 \(port) two", "two IN A 127.0.0.1", Self.tlsa(port, "two", "ab")],
                isSigned: true
            )
        ])
        let peer = try #require(try await Self.find("signed.example", server).peer)
        #expect(peer.target.isSecure)
        #expect(peer.associations.map(\.data) == [[UInt8](repeating: 0xAB, count: 32)])
        let without = try #require(try await Self.find("signed.example", server, usesDANE: false).peer)
        #expect(without.associations.isEmpty)
        try await listener.close()
    }

    @Test func `the addresses of the host have to be proved too`() async throws {
        let (listener, port) = try await Self.listen()
        let host = "two.plain.example."
        let server = try LocalDNS([
            .init("signed.example", ["_xmpp-server._tcp IN SRV 2 0 \(port) \(host)"], isSigned: true),
            .init("plain.example", ["two IN A 127.0.0.1", Self.tlsa(port, "two", "ab")]),
        ])
        let peer = try #require(try await Self.find("signed.example", server).peer)
        #expect(peer.target.isSecure && peer.associations.isEmpty)
        // Where they are not, a server that fails for records of that kind does no harm (RFC 7672 §2.1.1).
        let records = ["_xmpp-server._tcp IN SRV 2 0 \(port) \(host)"]
        let failing = try LocalDNS(
            [.init("signed.example", records, isSigned: true), .init("plain.example", ["two IN A 127.0.0.1"])],
            refusing: ["_tcp.two.plain.example"]
        )
        let again = try await Self.find("signed.example", failing)
        #expect(again.peer?.associations.isEmpty == true, "\(again.steps)")
        try await listener.close()
    }

    @Test func `a host whose records are forged is not used, and the next one is`() async throws {
        let (one, onePort) = try await Self.listen()
        let (two, twoPort) = try await Self.listen()
        let records = [
            "_xmpp-server._tcp IN SRV 1 0 \(onePort) one", "one IN A 127.0.0.1", Self.tlsa(onePort, "one", "ab"),
        ]
        let forgery = ("TLSA\(#"\(.*\)"#)abababab", #"TLSA\1abababcd"#)
        let alone = try LocalDNS([.init("signed.example", records, isSigned: true, forgery: forgery)])
        let outcome = try await Self.find("signed.example", alone)
        #expect(outcome.failure?.text.hasPrefix("the TLSA records of one.signed.example are not known: DNSSEC") == true)
        #expect(outcome.failure?.isFinal == true)
        let more = records + ["_xmpp-server._tcp IN SRV 2 0 \(twoPort) two", "two IN A 127.0.0.1"]
        let both = try LocalDNS([.init("signed.example", more, isSigned: true, forgery: forgery)])
        let peer = try #require(try await Self.find("signed.example", both).peer)
        #expect(peer.target.host == "two.signed.example" && peer.associations.isEmpty)
        try await one.close()
        try await two.close()
    }

    @Test func `forged addresses are told at once, unless another host may be back`() async throws {
        let closed = try await Self.closedPort()
        let forgery = (#"127\.0\.0\.2"#, "127.0.0.66")
        let records = ["_xmpp-server._tcp IN SRV 2 0 \(closed) two", "two IN A 127.0.0.2"]
        let alone = try LocalDNS([.init("signed.example", records, isSigned: true, forgery: forgery)])
        let failure = try #require(try await Self.find("signed.example", alone).failure)
        #expect(failure.isFinal && failure.text.contains("DNSSEC proves the answer of DNS wrong"))
        let more = records + ["_xmpp-server._tcp IN SRV 1 0 \(closed) one", "one IN A 127.0.0.1"]
        let both = try LocalDNS([.init("signed.example", more, isSigned: true, forgery: forgery)])
        #expect(try await Self.find("signed.example", both).failure?.isFinal == false)
    }

    @Test func `a forged record of the service leads nowhere`() async throws {
        let (listener, port) = try await Self.listen()
        let records = ["_xmpp-server._tcp IN SRV 2 0 \(port) two", "two IN A 127.0.0.1"]
        let forgery = ("SRV\(#"\(.*\)"#)2 0 \(port)", #"SRV\1"# + "3 0 \(port)")
        let server = try LocalDNS([.init("signed.example", records, isSigned: true, forgery: forgery)])
        let outcome = try await Self.find("signed.example", server)
        #expect(outcome.peer == nil)
        #expect(outcome.failure?.text.contains("DNSSEC proves the answer of DNS wrong") == true)
        #expect(outcome.failure?.isFinal == true)
        try await listener.close()
    }
}
