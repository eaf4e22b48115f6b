// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import DNS

/// Over a server of its own: one zone is signed, one is signed and forged, one is not signed.
@Suite struct DNSResolverTests {
    private static let zones = [
        LocalDNS.Zone(
            "signed.example",
            [
                "_xmpp-server._tcp IN SRV 5 10 5269 host", "host IN A 192.0.2.1", "host IN AAAA 2001:db8::1",
                "_5269._tcp.host IN TLSA 3 1 1 \(String(repeating: "ab", count: 32))",
            ],
            isSigned: true
        ),
        LocalDNS.Zone(
            "forged.example",
            ["host IN A 192.0.2.2"],
            isSigned: true,
            forgery: ("192\\.0\\.2\\.2", "192.0.2.66")
        ),
        LocalDNS.Zone("plain.example", ["host IN A 192.0.2.3", "_xmpp-server._tcp IN SRV 0 0 0 ."]),
        LocalDNS.Zone("plain.test", ["host IN A 192.0.2.4"]),
    ]

    private static func resolve(
        _ name: String,
        _ type: RecordType,
        _ configuration: DNSResolver.Configuration
    ) async throws -> Answer {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        return try await eventLoop.flatSubmit {
            do {
                let resolver = try DNSResolver(configuration, eventLoop: eventLoop, runOnThread: EndlessThreads.run)
                return resolver.resolve(name, type)
            } catch {
                return eventLoop.makeFailedFuture(error)
            }
        }.get()
    }

    private static func ask(_ server: LocalDNS, _ name: String, _ type: RecordType) async throws -> Answer {
        try await Self.resolve(
            name,
            type,
            .init(resolvers: [server.address], trustAnchors: server.anchors + ["/nowhere"], timeout: .seconds(60))
        )
    }

    @Test func `what a signed zone says is secure, that it has no such name included`() async throws {
        let server = try LocalDNS(Self.zones)
        let service = try await Self.ask(server, "_xmpp-server._tcp.signed.example", .srv)
        #expect(service.isSecure)
        let record = ServiceRecord(priority: 5, weight: 10, port: 5_269, target: "host.signed.example")
        #expect(service.records.compactMap(ServiceRecord.init) == [record])
        let address = try await Self.ask(server, "host.signed.example", .a)
        #expect(address == Answer(records: [[192, 0, 2, 1]], isSecure: true, isNameUnknown: false))
        let long = try await Self.ask(server, "host.signed.example", .aaaa)
        #expect(long.isSecure && long.records.compactMap(AddressRecord.text) == ["2001:db8:0:0:0:0:0:1"])
        let certificate = try await Self.ask(server, "_5269._tcp.host.signed.example", .tlsa)
        #expect(certificate.isSecure)
        let digest = [UInt8](repeating: 0xAB, count: 32)
        #expect(certificate.records.compactMap(CertificateRecord.init).map(\.data) == [digest])
        let none = try await Self.ask(server, "nothing.signed.example", .a)
        #expect(none == Answer(records: [], isSecure: true, isNameUnknown: true))
        let empty = try await Self.ask(server, "host.signed.example", .srv)
        #expect(empty == Answer(records: [], isSecure: true, isNameUnknown: false))
    }

    @Test func `what an unsigned zone says is not secure`() async throws {
        let server = try LocalDNS(Self.zones)
        let address = try await Self.ask(server, "host.plain.example", .a)
        #expect(address == Answer(records: [[192, 0, 2, 3]], isSecure: false, isNameUnknown: false))
        let service = try await Self.ask(server, "_xmpp-server._tcp.plain.example", .srv)
        #expect(service.records.compactMap(ServiceRecord.init).map(\.target) == [""])
        let none = try await Self.ask(server, "nothing.plain.example", .a)
        #expect(none == Answer(records: [], isSecure: false, isNameUnknown: true))
    }

    @Test func `what is forged is no answer, and why is told`() async throws {
        let server = try LocalDNS(Self.zones)
        let error = await #expect(throws: ResolverError.self) {
            try await Self.ask(server, "host.forged.example", .a)
        }
        guard case .bogus(let reason)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("host.forged.example"))
    }

    @Test func `a signed zone without its anchor is not secure`() async throws {
        let server = try LocalDNS(Self.zones)
        let configuration = DNSResolver.Configuration(
            resolvers: [server.address],
            trustAnchors: [],
            timeout: .seconds(60)
        )
        let address = try await Self.resolve("host.forged.example", .a, configuration)
        #expect(address == Answer(records: [[192, 0, 2, 66]], isSecure: false, isNameUnknown: false))
    }

    @Test func `names below test are asked for as others are`() async throws {
        let server = try LocalDNS(Self.zones)
        #expect(try await Self.ask(server, "host.plain.test", .a).records == [[192, 0, 2, 4]])
    }

    @Test func `a server that cannot answer, and a name that is none, are errors`() async throws {
        let server = try LocalDNS(Self.zones)
        let failed = await #expect(throws: ResolverError.self) { try await Self.ask(server, "host.elsewhere.net", .a) }
        #expect(failed == .failed("the server failed"))
        let label = String(repeating: "a", count: 64)
        let bad = await #expect(throws: ResolverError.self) { try await Self.ask(server, "\(label).example", .a) }
        guard case .failed? = bad else {
            Issue.record("\(String(describing: bad))")
            return
        }
    }

    @Test func `where nobody answers, the time is over, and what is asked beyond the bound fails`() async throws {
        // Bound and never read: questions vanish.
        let silence = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silence.localAddress?.port)
        let configuration = DNSResolver.Configuration(
            resolvers: ["127.0.0.1@\(port)"],
            trustAnchors: [],
            timeout: .milliseconds(50),
            maximumQuestions: 2
        )
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let errors = try await eventLoop.flatSubmit { () -> EventLoopFuture<[ResolverError?]> in
            do {
                let resolver = try DNSResolver(configuration, eventLoop: eventLoop, runOnThread: EndlessThreads.run)
                let first = (0..<3).map { resolver.resolve("host\($0).example", .a) }
                return EventLoopFuture.whenAllComplete(first, on: eventLoop).assumeIsolated().flatMap { results in
                    // libunbound still works on the first two.
                    EventLoopFuture.whenAllComplete([resolver.resolve("host4.example", .a)], on: eventLoop)
                        .map { Self.errors(results + $0) }
                }.nonisolated()
            } catch {
                return eventLoop.makeFailedFuture(error)
            }
        }.get()
        #expect(errors == [.timeout, .timeout, .overloaded, .overloaded])
        try await silence.close()
    }

    private static func errors(_ results: [Result<Answer, any Error>]) -> [ResolverError?] {
        results.map { result in
            if case .failure(let error) = result { error as? ResolverError } else { nil }
        }
    }

    @Test func `a configuration that cannot be used is refused at the start`() async throws {
        let directory = try TemporaryDirectory.make("anchors")
        try ChildProcess.run(["sh", "-c", "echo 'no key at all' > \(directory)/anchor"])
        for configuration in [
            DNSResolver.Configuration(
                resolvers: ["127.0.0.1"],
                trustAnchors: ["\(directory)/anchor"],
                timeout: .seconds(1)
            ),
            DNSResolver.Configuration(resolvers: ["no address"], trustAnchors: [], timeout: .seconds(1)),
        ] {
            await #expect(throws: ResolverError.self) { try await Self.resolve("a.example", .a, configuration) }
        }
    }
}
