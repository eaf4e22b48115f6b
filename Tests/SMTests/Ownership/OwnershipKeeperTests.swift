// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Glibc
import Logging
import NIOCore
import NIOPosix
import Storage
import TestSupport
import Testing

@testable import SM

/// Keepers over a real PostgreSQL. Eviction takes the time that it takes in life, so that a slow machine evicts nobody.
@Suite struct OwnershipKeeperTests {
    /// A store whose heartbeats can be stopped, as those of a process that is.
    private final class FreezableStore: OwnershipStorage {
        let store: OwnershipStore
        var isFrozen = false

        init(_ store: OwnershipStore) { self.store = store }

        func join(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipMap> {
            store.join(member, known: known)
        }

        func leave(_ member: OwnershipMember) -> EventLoopFuture<Void> { store.leave(member) }

        func beat(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipReading> {
            guard isFrozen else { return store.beat(member, known: known) }
            let reading = OwnershipReading(isMember: true, epoch: known, maps: [], peers: [])
            return store.database.eventLoop.makeSucceededFuture(reading)
        }

        func evict(_ peers: [OwnershipPeer]) -> EventLoopFuture<Void> { store.evict(peers) }
    }

    /// What lives on the loop of an instance.
    private final class Parts {
        let database: Database
        let store: FreezableStore
        let keeper: OwnershipKeeper

        init(_ database: Database, _ own: Database, _ name: String, _ incarnation: String) {
            self.database = database
            store = FreezableStore(OwnershipStore(database: own))
            keeper = OwnershipKeeper(
                instance: name,
                incarnation: incarnation,
                application: database.configuration.applicationName,
                store: store,
                eventLoop: database.eventLoop,
                logger: quietLogger()
            )
        }
    }

    private enum News: Equatable {
        case map(OwnershipMap)
        case evicted
    }

    /// An instance with its keeper, its database for users, and what the keeper told.
    private final class Instance: Sendable {
        let name: String
        let loop: any EventLoop
        let parts: NIOLoopBound<Parts>
        private let stream = AsyncStream<News>.makeStream()

        init(_ number: Int, _ incarnation: String, url: String) async throws {
            let name = "sm-\(number).jackdaw.internal"
            self.name = name
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            self.loop = loop
            let told = stream.continuation
            parts = try await loop.submit {
                let application = DatabaseConfiguration.applicationName(
                    instance: "sm-\(number)",
                    incarnation: incarnation
                )
                var configuration = DatabaseConfiguration(url: url, applicationName: application)
                (configuration.readConnections, configuration.patience) = (1, .seconds(30))
                configuration.shutdownTimeout = .milliseconds(500)
                let logger = quietLogger()
                let database = Database(configuration: configuration, eventLoop: loop, logger: logger)
                let ownConfiguration = OwnershipStore.configuration(configuration)
                let own = Database(configuration: ownConfiguration, eventLoop: loop, logger: logger)
                let parts = Parts(database, own, name, incarnation)
                parts.keeper.onChange = { told.yield(.map($0)) }
                parts.keeper.onEvicted = { told.yield(.evicted) }
                database.onFenced { [unowned parts] in parts.keeper.look() }
                database.start()
                own.start()
                return NIOLoopBound(parts, eventLoop: loop)
            }.get()
        }

        func on<Value: Sendable>(_ body: @escaping @Sendable (Parts) -> EventLoopFuture<Value>) async throws -> Value {
            let parts = parts
            return try await loop.flatSubmit { body(parts.value) }.get()
        }

        func change(_ body: @escaping @Sendable (Parts) -> Void) async throws {
            let parts = parts
            try await loop.submit { body(parts.value) }.get()
        }

        @discardableResult
        func join() async throws -> OwnershipMap { try await on { $0.keeper.join() } }

        func leave() async throws { try await on { $0.keeper.leave() } }

        /// Waits for the next thing that the keeper tells.
        func next() async -> News? {
            var iterator = stream.stream.makeAsyncIterator()
            return await iterator.next()
        }

        /// A write for a user under the epoch that was set.
        func write(_ number: Int) async throws -> DatabaseError? {
            let insert = Statement("insert", isRepeatable: true, "INSERT INTO t SELECT $1, epoch FROM owner_epoch")
            return try await on { parts in
                parts.database.execute(insert, [.int(Int64(number))], on: .write("a")).map { _ in nil }
                    .recover { $0 as? DatabaseError ?? .unavailable }
            }
        }

        func shutdown() async throws {
            try await on { $0.database.shutdown().and($0.store.store.database.shutdown()).map { _ in } }
        }
    }

    /// A migrated database.
    private struct World {
        let cluster: PrivateCluster
        let name: String

        init(_ cluster: PrivateCluster) async throws {
            self.cluster = cluster
            name = try cluster.makeDatabase()
            let configuration = DatabaseConfiguration(url: cluster.url(name), applicationName: "tests")
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            _ = try await Migrator.migrate(configuration, on: loop, logger: quietLogger()).get()
            try psql("CREATE TABLE t (n bigint, epoch bigint)")
        }

        func instance(_ number: Int, _ incarnation: String = "one") async throws -> Instance {
            try await Instance(number, incarnation, url: cluster.url(name))
        }

        @discardableResult
        func psql(_ sql: String) throws -> String { try cluster.execute(sql, in: name, role: "jackdaw_sm") }

        var epoch: String { get throws { try psql("SELECT epoch FROM owner_epoch") } }

        func map(_ epoch: UInt64, _ numbers: Int...) -> OwnershipMap { map(epoch, numbers) }

        func map(_ epoch: UInt64, _ numbers: [Int]) -> OwnershipMap {
            OwnershipMap(epoch: epoch, instances: numbers.map { "sm-\($0).jackdaw.internal" })
        }
    }

    @Test("Instances join and leave, and each tells every map in order")
    func joining() async throws {
        let world = try await World(.shared())
        let (first, second) = (try await world.instance(1), try await world.instance(2))
        #expect(try await first.join() == world.map(1, 1))
        #expect(await first.next() == .map(world.map(1, 1)))
        #expect(try await second.join() == world.map(2, 1, 2))
        #expect(try await second.join() == world.map(2, 1, 2))
        #expect(await second.next() == .map(world.map(2, 1, 2)))
        #expect(await first.next() == .map(world.map(2, 1, 2)))
        try await second.leave()
        try await second.leave()
        try await first.change { $0.keeper.look() }
        #expect(await first.next() == .map(world.map(3, 1)))
        // A quick restart keeps the members and raises the epoch; what the older incarnation has open ends.
        let again = try await world.instance(1, "two")
        #expect(try await again.join() == world.map(4, 1))
        #expect(await first.next() == .evicted)
        try await first.leave()
        #expect(try world.psql("SELECT name, incarnation FROM owner_instances") == "sm-1.jackdaw.internal|two")
        #expect(try world.epoch == "4")
        for instance in [first, second, again] { try await instance.shutdown() }
    }

    @Test("Two that evict one whose heartbeat stands still do it once, and what it writes later is refused")
    func eviction() async throws {
        let world = try await World(.shared())
        let instances = [try await world.instance(1), try await world.instance(2), try await world.instance(3)]
        let victim = instances[2]
        for instance in instances { try await instance.join() }
        try await victim.change { $0.database.fence(epoch: 3) }
        #expect(try await victim.write(1) == nil)
        let backends = try world.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sm-3 one'"
        )
        #expect(Int(backends) ?? 0 >= 3)
        let pids = try world.psql(
            "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database() "
                + "AND application_name = 'sm-3 one'"
        )
        try await victim.change { $0.store.isFrozen = true }
        for (number, instance) in instances.prefix(2).enumerated() {
            for epoch in UInt64(number + 1)...3 {
                #expect(await instance.next() == .map(world.map(epoch, Array(1...Int(epoch)))))
            }
            #expect(await instance.next() == .map(world.map(4, 1, 2)))
        }
        #expect(try world.epoch == "4")
        #expect(try world.psql("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ('\(pids)')") == "0")
        // It wakes up late: the fence stops what it writes, it looks, and learns what has happened.
        async let late = victim.write(2)
        #expect(await victim.next() == .map(world.map(3, 1, 2, 3)))
        try await victim.change { $0.store.isFrozen = false }
        #expect(await victim.next() == .evicted)
        let map = try await victim.join()
        #expect(map == world.map(5, 1, 2, 3))
        try await victim.change { $0.database.renewFence(epoch: 5) { _ in false } }
        #expect(try await late == .fenced)
        #expect(try await victim.write(3) == nil)
        #expect(try world.psql("SELECT n, epoch FROM t ORDER BY n") == "1|3\n3|5")
        for instance in instances { try await instance.shutdown() }
    }

    @Test("One that is stopped in the middle of a transaction cannot hold up its eviction, nor the writes of others")
    func stuckTransaction() async throws {
        let world = try await World(.shared())
        let (first, second) = (try await world.instance(1), try await world.instance(2))
        try await first.join()
        try await second.join()
        // As a process that was stopped after it sent half of a group: the lock is held, and nothing follows.
        let url = "\(world.cluster.url(world.name)) application_name='sm-2 one'"
        let stuck = try ChildProcess(["psql", "-XAtq", "-d", url, "-c", "SELECT owner_fence(2), pg_sleep(600)"])
        let locks =
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.mode = 'RowShareLock' "
            + "AND a.application_name = 'sm-2 one' AND a.datname = current_database()"
        while try world.psql(locks) == "0" {
            await Task.yield()
        }
        try await second.change { $0.store.isFrozen = true }
        for epoch in [world.map(1, 1), world.map(2, 1, 2), world.map(3, 1)] {
            #expect(await first.next() == .map(epoch))
        }
        #expect(stuck.wait() != 0)
        for instance in [first, second] { try await instance.shutdown() }
    }

    @Test("A database that is restarted or killed evicts nobody, and who joins meanwhile waits for it")
    func outage() async throws {
        let world = try await World(try PrivateCluster())
        let (first, second) = (try await world.instance(1), try await world.instance(2))
        try await first.join()
        try await second.join()
        for kill in [false, true] {
            if kill { try await killPostmaster(world.cluster) } else { try world.cluster.stop() }
            // Longer than what evicts a peer.
            try await Task.sleep(for: .seconds(6))
            try world.cluster.start()
            let beats = "SELECT sum(heartbeat) FROM owner_instances"
            let before = Int(try world.psql(beats)) ?? 0
            // Both are back, and had the time to evict.
            while (Int(try world.psql(beats)) ?? 0) < before + 14 { try await Task.sleep(for: .milliseconds(100)) }
            #expect(try world.epoch == "2")
            #expect(try world.psql("SELECT count(*) FROM owner_instances") == "2")
        }
        try world.cluster.stop()
        let third = try await world.instance(3)
        async let map = third.join()
        try await Task.sleep(for: .seconds(2))
        try world.cluster.start()
        #expect(try await map == world.map(3, 1, 2, 3))
        for instance in [first, second, third] { try await instance.shutdown() }
    }

    /// As an out of memory killer does it: the postmaster first; its children end by themselves.
    private func killPostmaster(_ cluster: PrivateCluster) async throws {
        let line = try ChildProcess.run(["head", "-n", "1", "\(cluster.directory)/data/postmaster.pid"])
        let pid = try #require(pid_t(line.split(separator: "\n").first ?? ""))
        kill(pid, SIGKILL)
        while kill(pid, 0) == 0 { try await Task.sleep(for: .milliseconds(20)) }
    }
}

private func quietLogger() -> Logger {
    var logger = Logger(label: "ownership")
    logger.logLevel = .critical
    return logger
}
