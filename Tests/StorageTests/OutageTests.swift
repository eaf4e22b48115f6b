// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import Storage

/// What happens when connections break and the cluster goes away.
@Suite struct OutageTests {
    private static let insert = Statement(
        "insert",
        isRepeatable: true,
        "INSERT INTO t (n) VALUES ($1) ON CONFLICT DO NOTHING"
    )

    private static let count = Statement("count", isRepeatable: true, "SELECT count(*) FROM t")

    @Test("Connections that are ended come back, and what is repeatable is not lost")
    func terminatedBackends() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        try cluster.execute("CREATE TABLE t (n bigint PRIMARY KEY)", in: name, role: "jackdaw_sm")
        let database = try await DatabaseFixture(cluster.url(name)) { $0.patience = .seconds(60) }
        try await database.becomes(true)
        var terminated = 0
        for round in 0..<5 {
            async let count = Task.detached {
                try cluster.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tests' "
                        + "AND datname = '\(name)'"
                )
            }.value
            let counts = try await database.on { database in
                let futures = (0..<200).map { number in
                    database.execute(Self.insert, [.int(Int64(round * 200 + number))], on: .write("\(number)"))
                }
                return EventLoopFuture.whenAllSucceed(futures, on: database.eventLoop)
            }
            #expect(counts.count == 200)
            terminated += Int(try await count) ?? 0
        }
        #expect(terminated >= 4)
        // The last signal may reach its backend only now.
        let rows = try await database.on { $0.query(Self.count, [], on: .write("")) }
        #expect(rows.first?.int(0) == 1000)
        try await database.shutdown()
    }

    @Test("What is not repeatable fails when its connection breaks under it")
    func unrepeatable() async throws {
        let cluster = try PrivateCluster.shared()
        let database = try await DatabaseFixture(cluster.url(try cluster.makeDatabase()))
        let error = await failure { try await database.run("SELECT pg_terminate_backend(pg_backend_pid())") }
        #expect(error == .unavailable)
        #expect(try await database.run("SELECT 1::bigint").first?.int(0) == 1)
        try await database.shutdown()
    }

    @Test("What breaks every connection is given up")
    func poison() async throws {
        let cluster = try PrivateCluster.shared()
        let database = try await DatabaseFixture(cluster.url(try cluster.makeDatabase()))
        let error = await failure { try await database.run("SELECT pg_terminate_backend(pg_backend_pid())", on: .read) }
        #expect(error == .unavailable)
        #expect(try await database.run("SELECT 1::bigint", on: .read).first?.int(0) == 1)
        try await database.shutdown()
    }

    @Test("An outage is told, requests fail at once while it lasts, and all recovers by itself")
    func clusterRestart() async throws {
        let cluster = try PrivateCluster()
        let name = try cluster.makeDatabase()
        let database = try await DatabaseFixture(cluster.url(name)) {
            ($0.readConnections, $0.writeConnections) = (0, 1)
            $0.patience = .milliseconds(100)
            $0.longestRetryDelay = .milliseconds(200)
        }
        try await database.becomes(true)
        for mode in ["fast", "immediate"] {
            try cluster.stop(mode: mode)
            try await database.becomes(false)
            #expect(try await database.failsAtOnce())
            try cluster.start()
            try await database.becomes(true)
            #expect(try await database.run("SELECT 1::bigint").first?.int(0) == 1)
        }
        try await database.shutdown()
    }

    @Test("Requests wait for a cluster that is away shortly")
    func patience() async throws {
        let cluster = try PrivateCluster()
        let name = try cluster.makeDatabase()
        let database = try await DatabaseFixture(cluster.url(name)) { $0.patience = .seconds(60) }
        try await database.becomes(true)
        try cluster.stop()
        async let answer = database.run("SELECT 1::bigint", on: .read)
        try cluster.start()
        #expect(try await answer.first?.int(0) == 1)
        try await database.shutdown()
    }

    @Test("A server that hangs is given up, and what is repeatable runs on a new connection")
    func hangingServer() async throws {
        let cluster = try PrivateCluster.shared()
        let database = try await DatabaseFixture(cluster.url(try cluster.makeDatabase())) {
            $0.responseTimeout = .milliseconds(200)
            $0.patience = .seconds(60)
        }
        let answer = try await database.run("SELECT pg_backend_pid()", on: .write("key"))
        let pid = try #require(answer.first?.int(0).map { pid_t(truncatingIfNeeded: $0) })
        kill(pid, SIGSTOP)
        defer { kill(pid, SIGCONT) }
        let another = try await database.on {
            $0.query(Statement("pid", isRepeatable: true, "SELECT pg_backend_pid()"), on: .write("key"))
        }
        #expect(another.first?.int(0) != Int64(pid))
        try await database.shutdown()
    }

    @Test("A server that takes the connection and says nothing is away")
    func silentServer() async throws {
        let directory = try ChildProcess.run(["mktemp", "-d"]).trimmed
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(unixDomainSocketPath: "\(directory)/.s.PGSQL.5432").get()
        let database = try await DatabaseFixture("host=\(directory) dbname=jackdaw") {
            $0.connectTimeout = .milliseconds(50)
            $0.patience = .milliseconds(200)
        }
        #expect(await failure { try await database.run("SELECT 1") } == .unavailable)
        try await database.shutdown()
        try await server.close()
        try ChildProcess.run(["rm", "-rf", directory])
    }

    @Test("A cluster that was never there is away, and a shutdown does not wait for it")
    func absent() async throws {
        let database = try await DatabaseFixture("host=/nonexistent dbname=jackdaw") { $0.patience = .milliseconds(50) }
        #expect(await failure { try await database.run("SELECT 1") } == .unavailable)
        try await database.shutdown()
    }
}

extension String {
    fileprivate var trimmed: String { hasSuffix("\n") ? String(dropLast()) : self }
}
