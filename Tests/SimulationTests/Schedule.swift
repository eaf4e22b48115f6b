// SPDX-License-Identifier: Apache-2.0

import TestSupport

/// One random life of a world: which faults may happen in it, and what does.
struct Schedule {
    enum Fault: Int, CaseIterable {
        case ownerDies, ownerLeaves, edgeDies, stops, linkBreaks, routerDies, routerFreezes, databaseGoes
        case databaseIsSlow, clientBreaks, clientCloses
    }

    let seed: UInt64
    private(set) var log: [String] = []
    private(set) var messages = 0

    /// The rule that is broken in it, to see that this is noticed.
    let mutation: Mutation?

    init(seed: UInt64, mutation: Mutation? = nil) {
        self.seed = seed
        self.mutation = mutation
    }

    /// Runs it; gives the first broken promise.
    mutating func run(isTraced: Bool = false) -> String? {
        var random = SeededGenerator(seed: seed)
        let world = SimulatedWorld(
            owners: 1 + random.below(3),
            edges: 1 + random.below(2),
            routers: 1 + random.below(2),
            clients: 2 + random.below(3),
            random: random,
            mutation: mutation
        )
        if isTraced { world.network.log = [] }
        defer { world.end() }
        begin(world)
        // A few kinds of faults at a time go deeper than all of them.
        let faults = Fault.allCases.filter { _ in world.random.below(3) == 0 }
        for _ in 0..<(10 + world.random.below(60)) where world.records.fault == nil {
            step(world, faults)
        }
        if world.records.fault == nil { world.rest() }
        messages = world.records.count
        log = world.network.log ?? []
        return world.records.fault
    }

    private func begin(_ world: SimulatedWorld) {
        for index in world.owners.indices { world.startOwner(index) }
        for index in world.edges.indices { world.startEdge(index) }
        world.settle()
        for client in world.clients { connect(client, world) }
        world.settle()
    }

    private func connect(_ client: SimulatedClient, _ world: SimulatedWorld) {
        let edge = world.edges[world.random.below(world.edges.count)]
        if let edge, !edge.isStopped { client.connect(to: edge) }
    }

    // MARK: Steps

    private func step(_ world: SimulatedWorld, _ faults: [Fault]) {
        let client = world.clients[world.random.below(world.clients.count)]
        switch world.random.below(20) {
        case 0..<5: send(from: client, world)
        case 5: client.acknowledge()
        case 6: client.request()
        case 7: for client in world.clients where client.phase == .offline { connect(client, world) }
        case 8, 9: world.settle()
        case 10: move(world)
        case 11: pass(world, 1 + world.random.below(300))
        case 12: pass(world, 500 + world.random.below(3_000))
        case 13 where world.random.below(3) == 0: pass(world, 4_000 + world.random.below(12_000))
        case 14: recover(world)
        default:
            guard !faults.isEmpty else { return send(from: client, world) }
            fail(world, faults[world.random.below(faults.count)], client)
        }
    }

    private func send(from client: SimulatedClient, _ world: SimulatedWorld) {
        for _ in 0..<(1 + world.random.below(3)) {
            let others = world.clients.filter { $0.user != client.user }
            client.send(to: others[world.random.below(others.count)])
        }
    }

    private func pass(_ world: SimulatedWorld, _ milliseconds: Int) {
        world.connectLinks()
        world.pass(Int64(milliseconds))
    }

    /// Some of what is on its way goes on.
    private func move(_ world: SimulatedWorld) {
        for process in world.processes where world.random.below(2) == 0 {
            let router = world.random.below(world.network.routerCount)
            if !process.isStopped { _ = process.work() }
            world.network.route(process.name, router, world.random.below(4))
            if !process.isStopped { world.network.read(process.link, router, world.random.below(4)) }
        }
        world.databaseStep()
        for client in world.clients where world.random.below(2) == 0 { _ = client.read() }
    }

    /// Something of what is broken is mended.
    private func recover(_ world: SimulatedWorld) {
        switch world.random.below(6) {
        case 0: world.startOwner(world.random.below(world.owners.count))
        case 1: world.startEdge(world.random.below(world.edges.count))
        case 2: for process in world.processes { process.goOn() }
        case 3:
            let router = world.random.below(world.network.routerCount)
            world.network.startRouter(router)
            world.network.freeze(router, false)
        case 4: if world.database.isAway { world.databaseComes() }
        default: world.isDatabaseSlow = false
        }
        world.connectLinks()
    }

    private func fail(_ world: SimulatedWorld, _ fault: Fault, _ client: SimulatedClient) {
        let owner = world.random.below(world.owners.count)
        let edge = world.random.below(world.edges.count)
        let router = world.random.below(world.network.routerCount)
        switch fault {
        case .ownerDies:
            world.killOwner(owner)
            if world.random.below(2) == 0 { world.startOwner(owner) }
        case .ownerLeaves: leave(world, owner)
        case .edgeDies:
            world.killEdge(edge)
            if world.random.below(2) == 0 { world.startEdge(edge) }
        case .stops: stop(world)
        case .linkBreaks:
            guard let process = world.processes.randomElement(using: &world.random) else { return }
            let network = world.network
            network.disconnect(
                process.name,
                router,
                routerReads: world.random.below(4),
                processReads: world.random.below(4)
            )
        case .routerDies: world.network.stopRouter(router) { world.random.below(3) }
        case .routerFreezes: world.network.freeze(router, !world.network.isFrozen(router))
        case .databaseGoes:
            if world.database.isAway { world.databaseComes() } else { world.databaseGoes() }
        case .databaseIsSlow: world.isDatabaseSlow.toggle()
        case .clientBreaks: client.cut(serverReads: world.random.below(4))
        case .clientCloses: if world.random.below(3) == 0 { client.close() }
        }
    }

    private func leave(_ world: SimulatedWorld, _ index: Int) {
        guard let owner = world.owners[index] else { return world.startOwner(index) }
        guard !owner.isStopped else { return }
        world.network.trace { "\(owner.name) is asked to end" }
        owner.leave()
    }

    private func stop(_ world: SimulatedWorld) {
        guard let process = world.processes.randomElement(using: &world.random) else { return }
        world.network.trace { "\(process.name) \(process.isStopped ? "goes on" : "stands still")" }
        if process.isStopped { process.goOn() } else { process.stop() }
    }
}
