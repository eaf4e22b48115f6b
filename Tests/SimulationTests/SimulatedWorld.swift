// SPDX-License-Identifier: Apache-2.0

import NIOEmbedded
import TestSupport
import XMPPCore

@testable import C2S
@testable import SM

/// Clients, C2S, routers, SMs and the database, all of them real but for sockets, SQL and time; and what breaks them.
final class SimulatedWorld {
    let network: SimulatedNetwork
    let database: SimulatedDatabase
    var records = DeliveryRecords()
    private(set) var owners: [SimulatedOwner?]
    private(set) var edges: [SimulatedEdge?]
    private(set) var clients: [SimulatedClient] = []
    var random: SeededGenerator
    /// What is asked of the database is answered later.
    var isDatabaseSlow = false
    private var starts = 0
    /// The rule that is broken.
    let mutation: Mutation?
    /// When the database last went, or was back, and since when each C2S was last out of an SM's reach.
    private(set) var databaseTrouble: Int64 = -1
    var outOfReach: [String: Int64] = [:]

    static let users: [BareJID] = (0..<4).map { index in
        guard let user = try? BareJID(local: "u\(index)", domain: "localhost") else { fatalError("no JID") }
        return user
    }

    init(owners: Int, edges: Int, routers: Int, clients: Int, random: SeededGenerator, mutation: Mutation? = nil) {
        self.random = random
        self.mutation = mutation
        network = SimulatedNetwork(routers: routers)
        database = SimulatedDatabase(users: Self.users)
        database.mutation = mutation
        self.owners = Array(repeating: nil, count: owners)
        self.edges = Array(repeating: nil, count: edges)
        for index in 0..<clients {
            let isPrompt = self.random.below(3) > 0
            // The first two are two users; others may be the same ones.
            let user = Self.users[index < 2 ? index : self.random.below(index + 1)]
            self.clients.append(SimulatedClient(index, user: user, isPrompt: isPrompt, in: self))
        }
    }

    func index(of user: BareJID) -> Int { Self.users.firstIndex(of: user) ?? -1 }

    /// Ends everything, so that nothing holds itself.
    func end() {
        for process in processes { process.kill(routerReads: 0) }
        owners = owners.map { _ in nil }
        edges = edges.map { _ in nil }
    }

    var processes: [SimulatedProcess] { owners.compactMap { $0 } + edges.compactMap { $0 } }

    func blame(_ what: String) { records.blame(what) }

    // MARK: Processes

    func startOwner(_ index: Int) {
        guard owners[index] == nil else { return }
        starts += 1
        network.trace { "sm-\(index + 1) starts" }
        owners[index] = SimulatedOwner("sm-\(index + 1).jackdaw.internal", epoch: "epoch\(starts)", in: self)
        connectLinks()
    }

    func startEdge(_ index: Int) {
        guard edges[index] == nil else { return }
        starts += 1
        network.trace { "c2s-\(index + 1) starts" }
        edges[index] = SimulatedEdge("c2s-\(index + 1).jackdaw.internal", epoch: "epoch\(starts)", in: self)
        connectLinks()
    }

    func killOwner(_ index: Int) {
        guard let owner = owners[index] else { return }
        network.trace { "\(owner.name) dies" }
        owner.connection.drop(afterUnits: random.below(3))
        owner.kill(routerReads: random.below(4))
        owners[index] = nil
    }

    func killEdge(_ index: Int) {
        guard let edge = edges[index] else { return }
        network.trace { "\(edge.name) dies" }
        edge.kill(routerReads: random.below(4))
        edges[index] = nil
    }

    /// All that are not linked to a router that answers link to it.
    func connectLinks() {
        for process in processes where !process.isStopped {
            for router in 0..<network.routerCount { network.connect(process.link, router) }
        }
    }

    // MARK: The database

    func databaseGoes() {
        guard !database.isAway else { return }
        network.trace { "the database goes" }
        for owner in owners.compactMap({ $0 }) { owner.connection.breaks(afterEffect: random.below(2) == 0) }
        database.isAway = true
        databaseTrouble = network.now
        if random.below(2) == 0 { loseDatabasePatience() }
        if random.below(4) == 0 { database.forgetRecords() }
    }

    func loseDatabasePatience() {
        guard database.isAway else { return }
        for owner in owners.compactMap({ $0 }) { owner.connection.losePatience() }
    }

    func databaseComes() {
        network.trace { "the database is there" }
        database.isAway = false
        databaseTrouble = network.now
        for owner in owners.compactMap({ $0 }) { owner.connection.isBack() }
    }

    /// Lets some of what the database was asked for take effect, and some be told.
    func databaseStep() {
        for owner in owners.compactMap({ $0 }) {
            for _ in 0..<random.below(4) { _ = owner.connection.execute() }
            guard !owner.isStopped else { continue }
            for _ in 0..<random.below(4) { _ = owner.connection.answer() }
            owner.loop.run()
        }
    }

    // MARK: Going on

    /// All that is on its way arrives, but for what stands still.
    func settle() {
        for _ in 0..<1_000 where records.fault == nil {
            var hasMoved = false
            for process in processes where !process.isStopped { hasMoved = process.work() || hasMoved }
            for client in clients { hasMoved = client.read() || hasMoved }
            for process in processes {
                for router in 0..<network.routerCount {
                    hasMoved = network.route(process.name, router, .max) || hasMoved
                    guard !process.isStopped else { continue }
                    hasMoved = network.read(process.link, router, .max) || hasMoved
                }
            }
            if !isDatabaseSlow { hasMoved = settleDatabase() || hasMoved }
            if !hasMoved { return removeGone() }
        }
        blame("it never comes to rest")
    }

    private func settleDatabase() -> Bool {
        var hasMoved = false
        for owner in owners.compactMap({ $0 }) {
            while owner.connection.execute() { hasMoved = true }
            guard !owner.isStopped else { continue }
            while owner.connection.answer() { hasMoved = true }
        }
        return hasMoved
    }

    /// Processes that have ended by themselves.
    private func removeGone() {
        for index in owners.indices where owners[index]?.isGone == true {
            network.trace { "sm-\(index + 1) ends" }
            owners[index]?.kill(routerReads: .max)
            owners[index] = nil
        }
    }

    /// Time passes for all that do not stand still; links that are down come up.
    func pass(_ milliseconds: Int64) {
        var left = milliseconds
        while left > 0 {
            let step = min(left, 100)
            left -= step
            network.now += step
            for process in processes { process.pass(step) }
            if left > 0 { settle() }
        }
    }

    // MARK: Rest

    /// Everything is there, and goes its way until nobody waits for anything; then the records are judged.
    func rest() {
        network.trace { "rest" }
        isDatabaseSlow = false
        if database.isAway { databaseComes() }
        for router in 0..<network.routerCount {
            network.startRouter(router)
            network.freeze(router, false)
        }
        for process in processes { process.goOn() }
        for index in owners.indices { startOwner(index) }
        for index in edges.indices { startEdge(index) }
        for round in 0..<240 where records.fault == nil {
            connectLinks()
            for index in owners.indices { startOwner(index) }
            settle()
            // A row whose writing was not confirmed may stay, and come once more in a later session.
            if isQuiet, round > 40 || database.spool.values.allSatisfy(\.isEmpty) { return records.judge() }
            nudge()
            settle()
            pass(500)
        }
        settle()
        for session in owners.flatMap({ $0?.sessions ?? [] }) { network.trace { session } }
        let reasons = clients.filter { !$0.isQuiet }.map(\.summary) + owners.compactMap { $0?.unrest }
        blame("no rest: \(reasons.joined(separator: "; "))")
    }

    private var isQuiet: Bool {
        clients.allSatisfy(\.isQuiet) && owners.allSatisfy { $0?.unrest == nil }
    }

    /// Clients come back, acknowledge and ask.
    private func nudge() {
        for client in clients {
            switch client.phase {
            case .offline: edges[random.below(edges.count)].map(client.connect)
            case .online:
                client.acknowledge()
                client.request()
            case .opening, .resuming, .binding:
                if network.now - client.phaseSince > 30_000 { client.cut(serverReads: 0) }
            }
        }
    }
}
