// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import DNS
import Daemon
import Logging
import NIOCore
import NIOPosix
import TestSupport
import XMPPCore

@testable import S2S

/// What a hub tells the suite behind it, which settles everything at once, or when it is told to.
final class RecordingSuite: SuitePort {
    weak var hub: S2SHub?
    private(set) var delivered: [Stanza] = []
    private var unsettled: [(stream: String, number: UInt64)] = []
    /// While it holds, nothing is settled.
    var isHolding = false {
        didSet {
            guard !self.isHolding else { return }
            for (stream, number) in self.unsettled { self.hub?.settled(stream: stream, number: number) }
            self.unsettled = []
        }
    }
    private(set) var sent: [ForwardOrigin] = []
    private(set) var settled: [ForwardOrigin] = []
    private(set) var failed: [String] = []
    /// The ids of what was not sent when the process ended.
    private(set) var left: [String] = []

    func deliver(_ stanza: Stanza, stream: String, number: UInt64, isCounted: Bool) {
        self.delivered.append(stanza)
        if self.isHolding {
            self.unsettled.append((stream, number))
        } else {
            self.hub?.settled(stream: stream, number: number)
        }
    }

    func sent(_ ticket: ForwardOrigin) { self.sent.append(ticket) }

    func settled(_ ticket: ForwardOrigin) { self.settled.append(ticket) }

    func failed(_ ticket: ForwardOrigin, _ stanza: Stanza, with error: StanzaError) {
        self.failed.append("\(error.condition.rawValue): \(error.text ?? "")")
    }

    func bounce(_ stanza: Stanza, with error: StanzaError) {
        self.failed.append("\(error.condition.rawValue): \(error.text ?? "")")
    }

    func left(_ ticket: ForwardOrigin?, _ stanza: Stanza) { self.left += [stanza.id ?? ""] }

    func report() {}
}

/// A hub with the suite that hears it. Confined to its event loop.
final class HubSide {
    let hub: S2SHub
    let suite = RecordingSuite()

    init(_ configuration: JackdawConfiguration, secret: String, eventLoop: any EventLoop) throws {
        let resolver = try DNSResolver(
            .init(resolvers: ["127.0.0.1"], trustAnchors: [], timeout: .seconds(60)),
            eventLoop: eventLoop,
            runOnThread: EndlessThreads.run
        )
        self.hub = S2SHub(
            configuration: configuration,
            key: DialbackKey(secret: secret),
            finder: PeerFinder(resolver: resolver, eventLoop: eventLoop, connectTimeout: .seconds(60)),
            metrics: S2SMetrics(MetricsRegistry()),
            eventLoop: eventLoop,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        self.hub.tlsContexts = try S2SRuntime.tlsContexts(configuration)
        self.suite.hub = self.hub
        self.hub.port = self.suite
    }
}

/// Two hubs on loopback sockets, `one.example` and `two.example`; each finds the other by its configuration.
///
/// Nobody signed their certificates, so that they prove their names by dialback.
struct HubStage: Sendable {
    static let names = ["one.example", "two.example"]

    let eventLoop: any EventLoop
    let sides: [NIOLoopBoundBox<HubSide?>]
    let listeners: [any Channel]

    init(configure: @escaping @Sendable (inout JackdawConfiguration) -> Void = { _ in }) async throws {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let boxes = Self.names.map { _ in NIOLoopBoundBox.makeEmptyBox(valueType: HubSide.self, eventLoop: eventLoop) }
        var listeners: [any Channel] = []
        for box in boxes {
            let channel = try await ServerBootstrap(group: eventLoop)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        guard let stream = box.value?.hub.accept(isDirectTLS: false, address: "") else { return }
                        try channel.pipeline.syncOperations.addHandler(stream)
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            listeners.append(channel)
        }
        let certificates = try TestCertificates.directory()
        let ports = listeners.map { $0.localAddress?.port ?? 0 }
        try await eventLoop.submit {
            for (index, box) in boxes.enumerated() {
                var configuration = Self.configuration(index, port: ports[1 - index], certificates)
                configure(&configuration)
                box.value = try HubSide(configuration, secret: Self.names[index], eventLoop: eventLoop)
            }
        }.get()
        self.eventLoop = eventLoop
        self.sides = boxes
        self.listeners = listeners
    }

    private static func configuration(
        _ index: Int,
        port: Int,
        _ certificates: String
    ) -> JackdawConfiguration {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: Self.names[index])]
        configuration.paths.certificates = certificates
        configuration.s2s.policy.tls = .optional
        var entry = JackdawConfiguration.RemoteDomain()
        entry.pattern = JackdawConfiguration.DomainPattern(domain: Self.names[1 - index], isExact: true)
        entry.policy.tls = .optional
        entry.host = ListenAddress(host: "127.0.0.1", port: port)
        configuration.s2s.domains = [entry]
        return configuration
    }

    /// Does something with a side on the loop.
    func on<Value: Sendable>(_ index: Int, _ body: @escaping @Sendable (HubSide) -> Value) async throws -> Value {
        let box = self.sides[index]
        let value = try await self.eventLoop.submit { box.value.map(body) }.get()
        guard let value else { throw ChannelError.eof }
        return value
    }

    /// Waits until something holds of a side; a test that waits in vain ends by its time limit.
    func wait(_ index: Int, until condition: @escaping @Sendable (HubSide) -> Bool) async throws {
        while try await !self.on(index, condition) { try await Task.sleep(for: .milliseconds(5)) }
    }

    func close() async throws {
        for listener in self.listeners { try await listener.close() }
        for index in self.sides.indices { try await self.on(index) { $0.hub.drain() } }
    }
}
