// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing

@testable import Storage

@Suite struct DatabaseTests {
    private func makeDatabase() throws -> (name: String, url: String) {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        try cluster.execute("CREATE TABLE t (n bigint PRIMARY KEY, v bytea)", in: name, role: "jackdaw_sm")
        return (name, cluster.url(name))
    }

    private static let insert = Statement("insert", isRepeatable: true, "INSERT INTO t (n, v) VALUES ($1, $2)")

    @Test("Values survive the way to the database and back")
    func values() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        let bytes = ByteBuffer(bytes: (0...255).map { UInt8($0) } + [0, 0])
        let texts = ["", "a", "a\"b\\c", "{}", ",", "NULL", "ß\u{1F426}", " \n"]
        let statement = Statement(
            "echo",
            """
            SELECT $1::text, $2::bigint, $3::bytea, $4::boolean, $5::text[], $6::text, $7::integer, $8::bytea[],
            '1970-01-01 00:00:01.000002Z'::timestamptz, 'infinity'::timestamptz
            """
        )
        let rows = try await database.on { database in
            let values: [DatabaseValue] = [
                .text("héllo"), .int(.min), .buffer(bytes), .bool(true), .texts(texts), .null, .int(-7),
                .texts([DatabaseValue.hex([0, 9, 255])]),
            ]
            return database.query(statement, values, on: .read)
        }
        let row = try #require(rows.first)
        #expect(row.text(0) == "héllo")
        #expect(row.int(1) == .min)
        #expect(row.bytes(2) == bytes)
        #expect(row.bool(3) == true)
        #expect(row.texts(4) == texts)
        #expect(row.isNull(5))
        #expect(row.text(5) == nil)
        #expect(row.int(6) == -7)
        #expect(row.bytes(7)?.readableBytesView.suffix(3).elementsEqual([0, 9, 255]) == true)
        #expect(row.microseconds(8) == 1_000_002)
        #expect(row.microseconds(9) == nil)
        #expect(row.isNull(99) && row.isNull(-1))
        try await database.shutdown()
    }

    @Test("An empty value is not null")
    func emptyValues() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        let rows = try await database.on {
            $0.query(
                Statement("e", "SELECT $1::bytea, $2::text, $3::text[]"),
                [.bytes([]), .text(""), .texts([])],
                on: .read
            )
        }
        #expect(rows.first?.bytes(0)?.readableBytes == 0)
        #expect(rows.first?.text(1) == "")
        #expect(rows.first?.texts(2) == [])
        try await database.shutdown()
    }

    @Test("A text with NUL is refused, not cut")
    func nul() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        for value in [DatabaseValue.text("a\0b"), .texts(["a", "\0"])] {
            let error = await failure {
                try await database.on { $0.query(Statement("n", "SELECT $1::text"), [value], on: .read) }
            }
            #expect(error == .failed(sqlstate: "22021", message: "a text holds the character NUL"))
        }
        try await database.shutdown()
    }

    @Test("Requests of one key run in the order in which they were made")
    func order() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url) { $0.groupRequests = 7 }
        let append = Statement("append", "INSERT INTO t (n, v) SELECT count(*), $1::bytea FROM t RETURNING n")
        let numbers = try await database.on { database in
            let futures = (0..<500).map { number in
                database.query(append, [.text(String(number))], on: .write("key")).map { $0.first?.int(0) }
            }
            return EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop)
        }
        #expect(numbers == (0..<500).map { Int64($0) })
        try await database.shutdown()
    }

    @Test("What is asked for together shares one transaction")
    func groupCommit() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        _ = try await database.run("SELECT 1")
        let transactions = try await database.on { database in
            let futures = (0..<100).map { _ in
                database.query(Statement("xid", "SELECT txid_current()"), on: .write("key")).map { $0.first?.int(0) }
            }
            return EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop)
        }
        #expect(transactions.count == 100)
        #expect(Set(transactions).count == 1)
        try await database.shutdown()
    }

    @Test(
        "A member that fails takes nothing else with it",
        arguments: [[50], [0], [99], [10, 11, 80], Array(20..<60)]
    )
    func failingMember(failing: [Int]) async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        _ = try await database.run("INSERT INTO t (n) VALUES (-1)")
        let outcomes = try await database.on { database in
            let futures = (0..<100).map { number in
                let key = failing.contains(number) ? -1 : Int64(number)
                return database.execute(Self.insert, [.int(key), .null], on: .write("key"))
            }
            return EventLoopFuture.whenAllComplete(futures, on: database.eventLoop)
        }
        for (number, outcome) in outcomes.enumerated() {
            switch outcome {
            case .success(let count): #expect(count == 1 && !failing.contains(number))
            case .failure(let error):
                #expect(failing.contains(number))
                #expect(error as? DatabaseError == .constraint(name: "t_pkey", sqlstate: "23505"))
            }
        }
        let rows = try await database.run("SELECT count(*) FROM t WHERE n >= 0")
        #expect(rows.first?.int(0) == Int64(100 - failing.count))
        try await database.shutdown()
    }

    @Test("A statement that can not be prepared fails alone")
    func unpreparable() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        let outcomes = try await database.on { database in
            let wrong = Statement("wrong", "SELECT nonsense FROM t")
            let futures = [
                database.execute(Self.insert, [.int(1), .null], on: .write("key")),
                database.execute(wrong, on: .write("key")),
                database.execute(Self.insert, [.int(2), .null], on: .write("key")),
                database.execute(wrong, on: .write("key")),
            ]
            return EventLoopFuture.whenAllComplete(futures, on: database.eventLoop)
        }
        #expect((try? outcomes[0].get()) == 1)
        #expect((try? outcomes[2].get()) == 1)
        for outcome in [outcomes[1], outcomes[3]] {
            guard case .failure(DatabaseError.failed(let sqlstate, _)) = outcome else {
                Issue.record("\(outcome)")
                continue
            }
            #expect(sqlstate == "42703")
        }
        try await database.shutdown()
    }

    @Test("A transaction takes effect as a whole or not at all")
    func transaction() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        let error = await failure {
            try await database.on { database in
                let first = database.execute(Self.insert, [.int(1), .null], on: .write("key"))
                let second = database.transaction(
                    [Request(Self.insert, [.int(2), .null]), Request(Self.insert, [.int(1), .null])],
                    on: .write("key")
                )
                return first.and(second)
            }
        }
        #expect(error == .constraint(name: "t_pkey", sqlstate: "23505"))
        let rows = try await database.run("SELECT n FROM t")
        #expect(rows.map { $0.int(0) } == [1])
        try await database.shutdown()
    }

    @Test("A statement that takes too long is ended")
    func statementTimeout() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url) { $0.statementTimeout = .milliseconds(50) }
        guard case .failed(let sqlstate, _) = await failure({ try await database.run("SELECT pg_sleep(60)") }) else {
            Issue.record("no failure")
            return
        }
        #expect(sqlstate == "57014")
        try await database.shutdown()
    }

    @Test("A queue at its bound refuses")
    func overload() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url) { $0.queuedRequests = 10 }
        let outcomes = try await database.on { database in
            let futures = (0..<11).map { database.execute(Self.insert, [.int(Int64($0)), .null], on: .write("key")) }
            return EventLoopFuture.whenAllComplete(futures, on: database.eventLoop)
        }
        #expect(outcomes.prefix(10).allSatisfy { (try? $0.get()) == 1 })
        guard case .failure(DatabaseError.overloaded) = outcomes[10] else {
            Issue.record("\(outcomes[10])")
            return
        }
        let error = await failure {
            try await database.on {
                $0.execute(Self.insert, [.int(100), .bytes(Array(repeating: 0, count: 65 << 20))], on: .write("key"))
            }
        }
        #expect(error == .overloaded)
        try await database.shutdown()
    }

    @Test("A shutdown finishes what was asked for before it, and refuses what comes later")
    func shutdown() async throws {
        let made = try makeDatabase()
        let database = try await DatabaseFixture(made.url)
        let count = try await database.on { database in
            let futures = (0..<1000).map {
                database.execute(Self.insert, [.int(Int64($0)), .null], on: .write("\($0)"))
            }
            let all = EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop).map(\.count)
            return database.shutdown().flatMap { all }
        }
        #expect(count == 1000)
        #expect(await failure { try await database.run("SELECT 1") } == .unavailable)
        #expect(try PrivateCluster.shared().execute("SELECT count(*) FROM t", in: made.name) == "1000")
    }

    @Test("A shutdown is no outage: nobody is told of one")
    func quietShutdown() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url)
        try await database.becomes(true)
        let told = try await database.on { database in
            var told: [Bool] = []
            database.onAvailabilityChange { told.append($0) }
            return database.shutdown().assumeIsolated().map { told }.nonisolated()
        }
        #expect(told == [])
        try await database.becomes(false)
    }

    @Test("Connections carry the application's name")
    func applicationName() async throws {
        let database = try await DatabaseFixture(try makeDatabase().url) { $0.applicationName = "sm-1" }
        let rows = try await database.run("SHOW application_name", on: .read)
        #expect(rows.first?.text(0) == "sm-1")
        try await database.shutdown()
    }
}
