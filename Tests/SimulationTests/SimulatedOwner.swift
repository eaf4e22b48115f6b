// SPDX-License-Identifier: Apache-2.0

import Daemon
import NIOCore
import NIOEmbedded
import XMPPCore

@testable import ComponentLink
@testable import SM
@testable import XML

/// An SM process: the real server and the real keeper of the map, over the simulated link and database.
final class SimulatedOwner: SimulatedProcess {
    let server: SMServer
    let connection: SimulatedConnection
    private let keeper: OwnershipKeeper
    private let records: SessionRecordWriter
    /// The other processes that are there for it.
    private(set) var reached: Set<String> = []
    private var wasEvicted = false
    private var isLeaving = false
    /// It has given up its users, and ends.
    private(set) var isGone = false

    init(_ name: String, epoch: String, in world: SimulatedWorld) {
        let instance = LinkInstance(name: name, epoch: epoch, kind: .internal, names: ["localhost"])
        let loop = EmbeddedEventLoop()
        let link = SimulatedLink(instance, world.network, loop: loop)
        connection = SimulatedConnection(world.database, link, loop: loop)
        server = SMServer(
            configuration: Self.configuration,
            eventLoop: loop,
            link: Port(link),
            stores: SimulatedStores(connection: connection).stores,
            metrics: Self.metrics,
            logger: Self.logger,
            now: { [network = world.network] in 1_700_000_000_000_000 + network.now * 1_000 }
        )
        keeper = OwnershipKeeper(
            instance: name,
            incarnation: epoch,
            application: name,
            store: SimulatedOwnership(connection: connection),
            eventLoop: loop,
            logger: Self.logger
        )
        records = SessionRecordWriter(
            SessionRecordAuthor(instance: name, incarnation: epoch),
            store: SimulatedRecords(connection: connection),
            eventLoop: loop,
            logger: Self.logger
        )
        super.init(link, loop, world)
        link.owner = self
        connect()
        server.start()
        records.start()
        join()
    }

    private static let metrics = SMMetrics(MetricsRegistry())

    /// As `Membership` does.
    private func connect() {
        keeper.onChange = { [unowned self] map in
            let isKept = !wasEvicted
            wasEvicted = false
            world.network.trace { "\(name): map \(map)" }
            connection.renewFence(epoch: map.epoch) { isKept && map.owner(of: $0) == name }
            records.renewFence(epoch: map.epoch) { isKept && map.owner(of: $0) == name }
            server.mapChanged(map)
            if world.mutation == .takeoverDoesNotWait {
                for edge in server.takeover?.awaited ?? [] { server.takeover?.gone(edge) }
                server.endTakeoverIfHeard()
            }
        }
        keeper.onEvicted = { [unowned self] in
            world.network.trace { "\(name): evicted" }
            wasEvicted = true
            server.evicted()
            join()
        }
        connection.onFenced = { [unowned self] in keeper.look() }
        records.liveSessions = { [unowned self] in server.sessionRecords }
        server.records = records
        server.whenMapIsOld = { [unowned self] in keeper.look() }
    }

    private func join() {
        keeper.join().assumeIsolated().whenFailure { _ in }
    }

    /// SIGTERM.
    func leave() {
        guard !isLeaving else { return }
        isLeaving = true
        server.depart().assumeIsolated().whenComplete { departure in
            let epoch = (try? departure.get())?.epoch
            self.records.stop().assumeIsolated().whenComplete { _ in
                self.keeper.leave().assumeIsolated().whenComplete { result in
                    if case .success = result, let epoch { self.server.tellReleased(under: epoch) }
                    self.isGone = true
                }
            }
        }
    }

    override func work() -> Bool {
        loop.run()
        return false
    }

    override func tearDown() {
        keeper.onChange = { _ in }
        keeper.onEvicted = {}
        connection.onFenced = {}
        server.whenMapIsOld = {}
        server.records = nil
        records.liveSessions = { [] }
        server.stop()
        connection.abandon()
    }

    /// What it holds on to although nothing is under way; nil: nothing.
    var unrest: String? {
        let users = server.users.all
        let facts = [
            ("takeover", server.takeover != nil), ("held work", !server.heldWork.isEmpty),
            ("arrivals", !server.arrivals.isEmpty), ("gated", !server.gated.isEmpty),
            ("resumptions", !server.waitingResumptions.isEmpty),
            ("forwarded", !server.forwarded.isEmpty), ("database", !connection.isIdle),
            ("ledger", users.contains { !$0.ledger.isEmpty }),
            ("homeless", users.contains { !$0.spool.homeless.isEmpty }),
            ("reading", users.contains { $0.spool.reading != .idle }),
        ]
        let reasons = facts.filter(\.1).map(\.0)
        return reasons.isEmpty ? nil : "\(name): \(reasons.joined(separator: ", "))"
    }

    /// Its sessions, for who looks for a fault.
    var sessions: [String] {
        server.sessions.values.map { session in
            "\(name) \(session.name.prefix(4)) \(session.jid) \(session.state) attach \(session.attach) at "
                + "\(session.instance), \(session.settlement), due \(session.reportIsDue), "
                + "\(session.outbox.wire.count) sent, \(session.outbox.queue.count) queued"
        }.sorted()
    }

    /// The server's way to the link.
    private final class Port: LinkPort {
        let link: SimulatedLink

        init(_ link: SimulatedLink) {
            self.link = link
        }

        var instanceName: String { link.instance.name }
        var queuedBytes: Int { 0 }

        func hasWay(to instance: String) -> Bool { true }
        func send(_ stanza: Stanza) -> Bool { true }
        func send(_ message: SessionMessage, to instance: String) -> Bool { link.send(message, to: instance) }
        func send(_ stanza: Stanza, number: UInt64?, id: String?, by route: SessionRoute) -> Bool {
            link.send(route.head.message(stanza, number: number, id: id))
        }
        func send(_ request: AdminRequest, to instance: String) -> Bool { true }
    }
}

extension SimulatedOwner: SimulatedLinkOwner {
    func instanceAvailable(_ instance: LinkInstance) {
        reached.insert(instance.name)
        server.instanceAvailable(instance)
    }
    func instanceUnavailable(_ instance: LinkInstance) {
        reached.remove(instance.name)
        world.outOfReach[instance.name] = world.network.now
        server.instanceUnavailable(instance)
    }
    func instancesComplete() { server.instancesComplete() }
    func readBegan() {}
    func received(_ route: RouteFrame) {
        guard let message = try? SessionMessage(route) else { fatalError("\(String(buffer: route.bytes))") }
        if case .stanza(_, .some(let number), _) = message.content, world.mutation == .settledAtOnce {
            _ = link.send(
                SessionMessage(session: message.session, attach: message.attach, .settled(number: number)),
                to: route.from
            )
        }
        if case .handover(.forwarded(let stanza)) = message.content, world.mutation == .forwardedIsSettledAtOnce {
            _ = link.send(SessionMessage(.handover(.settled([stanza.token]))), to: route.from)
        }
        if case .handover(.unacknowledged) = message.content, world.mutation == .unacknowledgedIsNotPresented { return }
        server.received(message, from: route.from)
    }
    func readComplete() { server.sendReports() }
}
