// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Storage

/// Writes that take effect under their epoch only, over a real PostgreSQL.
@Suite struct FenceTests {
    private static let insert = Statement(
        "insert",
        "INSERT INTO t (k, n, epoch) SELECT $1, $2, epoch FROM owner_epoch"
    )

    /// A migrated database with a table for the tests, in epoch 0.
    private struct World {
        let cluster: PrivateCluster
        let name: String

        init() async throws {
            cluster = try PrivateCluster.shared()
            name = try cluster.makeDatabase()
            let configuration = DatabaseConfiguration(url: cluster.url(name), applicationName: "tests")
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            var logger = Logger(label: "migrations")
            logger.logLevel = .critical
            _ = try await Migrator.migrate(configuration, on: loop, logger: logger).get()
            try psql("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, k text, n bigint, epoch bigint)")
        }

        func database(
            _ configure: (inout DatabaseConfiguration) -> Void = { _ in }
        ) async throws -> (DatabaseFixture, refusals: AsyncStream<Void>) {
            let database = try await DatabaseFixture(cluster.url(name)) {
                ($0.readConnections, $0.writeConnections, $0.patience) = (0, 1, .seconds(60))
                $0.shutdownTimeout = .milliseconds(500)
                configure(&$0)
            }
            let refusals = AsyncStream<Void>.makeStream()
            try await database.on { database in
                database.onFenced { refusals.continuation.yield() }
                return database.eventLoop.makeSucceededVoidFuture()
            }
            return (database, refusals.stream)
        }

        @discardableResult
        func psql(_ sql: String) throws -> String {
            try cluster.execute(sql, in: name, role: "jackdaw_sm")
        }

        /// Raises the epoch, and gives the new one.
        @discardableResult
        func raise() throws -> UInt64 { UInt64(try psql("SELECT owner_raise(0)")) ?? 0 }

        /// What was written, in order: `key number epoch`.
        func rows() throws -> [String] {
            try psql("SELECT k || ' ' || n || ' ' || epoch FROM t ORDER BY id").split(separator: "\n").map(String.init)
        }

        /// Waits until a backend waits for an advisory lock.
        func waitForWaiter() async throws {
            let query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
            while try psql("\(query) (SELECT oid FROM pg_database WHERE datname = current_database())") == "0" {
                await Task.yield()
            }
        }
    }

    private static func write(_ database: Database, _ key: String, _ number: Int64) -> EventLoopFuture<Int> {
        database.execute(insert, [.text(key), .int(number)], on: .write(key))
    }

    private static func result(_ future: EventLoopFuture<Int>) -> EventLoopFuture<DatabaseError?> {
        future.map { _ in nil }.recover { $0 as? DatabaseError ?? .unavailable }
    }

    @Test("Writes pass under the epoch of the database; without a fence they pass under any")
    func passes() async throws {
        let world = try await World()
        try world.raise()
        let (database, _) = try await world.database()
        _ = try await database.on { Self.write($0, "a", 1) }
        _ = try await database.on { database in
            database.fence(epoch: 1)
            return Self.write(database, "a", 2)
        }
        #expect(try world.rows() == ["a 1 1", "a 2 1"])
        try await database.shutdown()
    }

    @Test("Under another epoch writes wait for a new fence; then ours go on in order, and the others fail")
    func renewal() async throws {
        let world = try await World()
        try world.raise()
        let (database, refusals) = try await world.database()
        try world.raise()
        let writes = database.loop.makePromise(of: [DatabaseError?].self)
        try await database.on { database in
            database.fence(epoch: 1)
            let futures = (0..<30).map { Self.result(Self.write(database, ["a", "b", "c"][$0 % 3], Int64($0))) }
            EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop).cascade(to: writes)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        var told = refusals.makeAsyncIterator()
        _ = await told.next()
        #expect(try world.rows() == [])
        let late = try await database.on { database in
            let late = [
                Self.write(database, "b", 100),
                database.execute(Self.insert, [.text("x"), .int(0)], on: .anyEpoch("")),
            ]
            database.renewFence(epoch: 2) { $0 != "b" }
            return EventLoopFuture.whenAllSucceed(
                (late + [Self.write(database, "b", 101)]).map { Self.result($0) },
                on: database.eventLoop
            )
        }
        #expect(late == [.fenced, nil, nil])
        #expect(try await writes.futureResult.get() == (0..<30).map { $0 % 3 == 1 ? .fenced : nil })
        let expected = (0..<30).filter { $0 % 3 != 1 }.map { "\(["a", "b", "c"][$0 % 3]) \($0) 2" }
        #expect(try world.rows() == expected + ["x 0 2", "b 101 2"])
        try await database.shutdown()
    }

    @Test("Each new epoch has its say about what was asked for before it, and not about what came later")
    func severalEpochs() async throws {
        let world = try await World()
        for _ in 1...3 { try world.raise() }
        let (database, refusals) = try await world.database()
        let first = database.loop.makePromise(of: [DatabaseError?].self)
        try await database.on { database in
            database.fence(epoch: 1)
            let futures = ["a", "b"].map { Self.result(Self.write(database, $0, 1)) }
            EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop).cascade(to: first)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        var told = refusals.makeAsyncIterator()
        _ = await told.next()
        let later = try await database.on { database in
            database.renewFence(epoch: 2) { $0 == "a" }
            let betweens = ["a", "b"].map { Self.write(database, $0, 2) }
            database.renewFence(epoch: 3) { $0 == "b" }
            database.renewFence(epoch: 3) { _ in false }
            let lasts = ["a", "b"].map { Self.write(database, $0, 3) }
            return EventLoopFuture.whenAllSucceed((betweens + lasts).map { Self.result($0) }, on: database.eventLoop)
        }
        #expect(try await first.futureResult.get() == [.fenced, .fenced])
        #expect(later == [.fenced, nil, nil, nil])
        #expect(try world.rows() == ["b 2 3", "a 3 3", "b 3 3"])
        try await database.shutdown()
    }

    @Test("The epoch cannot be raised while a group of the old one may commit")
    func raiseWaits() async throws {
        let world = try await World()
        let (database, refusals) = try await world.database()
        let (blocker, _) = try await world.database()
        _ = try await blocker.run("SELECT pg_advisory_lock(42)")
        let group = database.loop.makePromise(of: [StatementResult].self)
        try world.raise()
        try await database.on { database in
            database.fence(epoch: 1)
            let requests = [
                Request(Self.insert, [.text("a"), .int(1)]),
                Request(Statement("wait", "SELECT pg_advisory_xact_lock(42)")),
            ]
            database.transaction(requests, on: .write("a")).cascade(to: group)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        try await world.waitForWaiter()
        // Not for ever: behind one who waits for the lock, the writes of all others would wait.
        #expect(throws: (any Error).self) { try world.raise() }
        _ = try await blocker.run("SELECT pg_advisory_unlock(42)")
        _ = try await group.futureResult.get()
        #expect(try world.raise() == 2)
        #expect(try world.rows() == ["a 1 1"])
        async let refused = database.on { Self.result(Self.write($0, "a", 2)) }
        var told = refusals.makeAsyncIterator()
        _ = await told.next()
        try await database.shutdown()
        #expect(try await refused == .unavailable)
        #expect(try world.rows() == ["a 1 1"])
        try await blocker.shutdown()
    }

    @Test("A group that waited for the lock sees the epoch that was made meanwhile")
    func snapshot() async throws {
        let world = try await World()
        try world.raise()
        let (database, refusals) = try await world.database()
        let (raiser, _) = try await world.database()
        let (blocker, _) = try await world.database()
        _ = try await blocker.run("SELECT pg_advisory_lock(43)")
        async let raised = raiser.on { database in
            let requests = [
                Request(Statement("raise", "SELECT owner_raise(0)")),
                Request(Statement("settings", "SELECT set_config('lock_timeout', '0', true)")),
                Request(Statement("wait", "SELECT pg_advisory_xact_lock(43)")),
            ]
            return database.transaction(requests, on: .write("")).map { $0.first?.rows.first?.int(0) }
        }
        try await world.waitForWaiter()
        async let refused = database.on { database in
            database.fence(epoch: 1)
            return Self.result(Self.write(database, "a", 1))
        }
        let waiting =
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE mode = 'RowShareLock' "
            + "AND NOT granted AND datname = current_database()"
        while try world.psql(waiting) == "0" { await Task.yield() }
        _ = try await blocker.run("SELECT pg_advisory_unlock(43)")
        #expect(try await raised == 2)
        var told = refusals.makeAsyncIterator()
        _ = await told.next()
        #expect(try world.rows() == [])
        try await database.shutdown()
        #expect(try await refused == .unavailable)
        for other in [raiser, blocker] { try await other.shutdown() }
    }

    @Test("A queue that waits for a fence is bounded, and its failures do not count against its units")
    func bound() async throws {
        let world = try await World()
        for _ in 1...2 { try world.raise() }
        let (database, refusals) = try await world.database { $0.queuedRequests = 10 }
        let writes = database.loop.makePromise(of: [DatabaseError?].self)
        try await database.on { database in
            database.fence(epoch: 1)
            let futures = (0..<12).map { Self.result(Self.write(database, "a", Int64($0))) }
            EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop).cascade(to: writes)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        var told = refusals.makeAsyncIterator()
        _ = await told.next()
        // Connections that break meanwhile change nothing.
        try world.cluster.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '\(world.name)' "
                + "AND application_name = 'tests'"
        )
        try await database.on { database in
            database.fence(epoch: 2)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        #expect(try await writes.futureResult.get() == (0..<12).map { $0 < 10 ? nil : .overloaded })
        #expect(try world.rows().count == 10)
        try await database.shutdown()
    }

    @Test("Two owners that write across many changes of the epoch never write under one that is not theirs")
    func twoOwners() async throws {
        let world = try await World()
        let owners = [try await world.database().0, try await world.database().0]
        try world.raise()
        let results = Mutex<[[DatabaseError?]]>([[], []])
        // Key 0 belongs to owner 0 in odd epochs, key 1 in even ones.
        let owns: @Sendable (Int, String, UInt64) -> Bool = { owner, key, epoch in
            (UInt64(owner) + (UInt64(key) ?? 0) + epoch) % 2 == 1
        }
        for epoch in UInt64(1)...24 {
            for (owner, database) in owners.enumerated() {
                _ = try await database.on { database in
                    database.renewFence(epoch: epoch) { owns(owner, $0, epoch) }
                    for number in 0..<10 where owns(owner, "\(number % 2)", epoch) {
                        let future = Self.write(database, "\(number % 2)", Int64(owner))
                        Self.result(future).whenSuccess { error in results.withLock { $0[owner].append(error) } }
                    }
                    return database.eventLoop.makeSucceededVoidFuture()
                }
            }
            try world.raise()
        }
        for (owner, database) in owners.enumerated() {
            _ = try await database.on { database in
                database.renewFence(epoch: 25) { owns(owner, $0, 25) }
                return database.execute(Statement("last", "SELECT 1"), on: .anyEpoch(""))
            }
            try await database.shutdown()
        }
        let wrong = try world.psql("SELECT count(*) FROM t WHERE (n + k::bigint + epoch) % 2 <> 1")
        #expect(wrong == "0")
        for owner in 0..<2 {
            let kept = results.withLock { $0[owner].count { $0 == nil } }
            #expect(try world.psql("SELECT count(*) FROM t WHERE n = \(owner)") == "\(kept)")
            #expect(results.withLock { $0[owner].allSatisfy { $0 == nil || $0 == .fenced } })
        }
    }
}
