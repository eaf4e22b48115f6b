// SPDX-License-Identifier: Apache-2.0

import Daemon
import DequeModule
import NIOCore
import NIOEmbedded
import XMPPCore
import XMPPStream

@testable import C2S
@testable import ComponentLink
@testable import XML

/// A C2S process: the real hub with real connections, whose clients have TLS and SASL behind them.
final class SimulatedEdge: SimulatedProcess {
    let hub: C2SHub
    private var wires: [ClientWire] = []

    init(_ name: String, epoch: String, in world: SimulatedWorld) {
        let instance = LinkInstance(name: name, epoch: epoch, kind: .internal, names: [])
        let loop = EmbeddedEventLoop()
        let link = SimulatedLink(instance, world.network, loop: loop)
        hub = C2SHub(
            configuration: Self.hubConfiguration,
            serverSecret: [1],
            services: C2SHub.Services(
                send: { link.send($0, to: $1) },
                forward: { link.send($0) },
                name: name,
                queuedBytes: { 0 },
                credentials: { _ in loop.makeSucceededFuture([]) },
                compute: { body in loop.makeSucceededFuture(body()) }
            ),
            metrics: Self.metrics,
            eventLoop: loop,
            logger: Self.logger
        )
        super.init(link, loop, world)
        link.owner = self
        scheduleAsking()
    }

    /// As `C2SRuntime` does.
    private func scheduleAsking() {
        loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in
            self?.hub.askForOwners()
            self?.scheduleAsking()
        }
    }

    private static let hubConfiguration = C2SConfiguration(configuration)
    private static let metrics = C2SMetrics(MetricsRegistry())
    private static let address = ClientAddress(text: "192.0.2.1", ipv6Prefix: 64)

    /// A client connects, and is logged in; nil if it is not taken.
    func connect(_ user: BareJID) -> ClientWire? {
        guard case .success(let handler) = hub.accept(Self.address, mode: .startTLS, now: loop.now) else { return nil }
        handler.machine.phase = .header(.authenticated)
        handler.machine.stage = .authenticated
        handler.machine.user = user
        handler.machine.domain = user.domain
        handler.isAuthenticated = true
        hub.authenticated(handler)
        let channel = EmbeddedChannel(loop: loop)
        _ = try? channel.pipeline.syncOperations.addHandler(handler)
        channel.connect(to: Self.socketAddress, promise: nil)
        let wire = ClientWire(channel)
        wires.append(wire)
        return wire
    }

    private static let socketAddress: SocketAddress = {
        guard let address = try? SocketAddress(ipAddress: "192.0.2.1", port: 1) else { fatalError("no address") }
        return address
    }()

    override func work() -> Bool {
        loop.run()
        var hasMoved = false
        for wire in wires { hasMoved = wire.work() || hasMoved }
        wires.removeAll(where: \.isOver)
        loop.run()
        if world.mutation == .ghostsAreForgotten {
            for ghost in hub.ghosts where ghost.owner != nil { hub.farewellTaken(of: ghost) }
        }
        return hasMoved
    }

    override func tearDown() {
        for wire in wires {
            wire.isServerGone = true
            wire.end()
        }
        wires = []
    }
}

extension SimulatedEdge: SimulatedLinkOwner {
    func instanceAvailable(_ instance: LinkInstance) {
        hub.instanceAvailable(name: instance.name, epoch: instance.epoch, names: instance.names)
    }
    func instanceUnavailable(_ instance: LinkInstance) { hub.instanceUnavailable(name: instance.name) }
    func instancesComplete() {}
    func readBegan() { hub.linkReadBegan() }
    func received(_ route: RouteFrame) {
        if hub.takes(route) {
            if world.mutation == .deliveredTwice { _ = hub.takes(route) }
            return
        }
        guard let message = try? SessionMessage(route) else { fatalError("\(String(buffer: route.bytes))") }
        hub.received(message, from: route.from)
    }
    func readComplete() { hub.linkReadComplete() }
}

/// A client's connection, with what is on its way in both directions.
final class ClientWire {
    private let channel: EmbeddedChannel
    /// What the client has written and C2S has not read, and the other way round.
    private var toServer: [ByteBuffer] = []
    private var toClient: [ByteBuffer] = []
    /// The client's end is gone.
    private var isBroken = false
    private(set) var isOver = false
    /// Its C2S is dead.
    var isServerGone = false

    init(_ channel: EmbeddedChannel) {
        self.channel = channel
    }

    /// C2S has closed it, or is gone, and nothing more comes.
    var isEnded: Bool { isOver && toClient.isEmpty }

    func write(_ bytes: ByteBuffer) {
        if !isBroken, !isOver { toServer.append(bytes) }
    }

    func read() -> ByteBuffer? { toClient.isEmpty ? nil : toClient.removeFirst() }

    /// It breaks: C2S reads some of what is on its way to it.
    func cut(serverReads: Int) {
        guard !isBroken else { return }
        isBroken = true
        toServer.removeLast(max(0, toServer.count - serverReads))
        toClient = []
    }

    /// C2S reads and writes; false if there was nothing.
    func work() -> Bool {
        guard !isOver else { return false }
        var hasMoved = false
        if !toServer.isEmpty {
            hasMoved = true
            for bytes in toServer where channel.isActive { _ = try? channel.writeInbound(bytes) }
            toServer = []
        }
        channel.embeddedEventLoop.run()
        while let bytes = try? channel.readOutbound(as: ByteBuffer.self) {
            hasMoved = true
            if !isBroken { toClient.append(bytes) }
        }
        if isBroken || !channel.isActive {
            end()
            hasMoved = true
        }
        return hasMoved
    }

    func end() {
        guard !isOver else { return }
        isOver = true
        channel.close(promise: nil)
        channel.embeddedEventLoop.run()
    }
}
