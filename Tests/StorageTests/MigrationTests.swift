// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import Storage

@Suite struct MigrationTests {
    private func migrate(_ url: String, to version: Int = Schema.version) async throws -> Int {
        var logger = Logger(label: "migrations")
        logger.logLevel = .critical
        let configuration = DatabaseConfiguration(url: url, applicationName: "tests")
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return try await Migrator.migrate(configuration, to: version, on: loop, logger: logger).get()
    }

    /// All columns, keys and privileges of a schema, as text to compare.
    private func describe(_ name: String) throws -> String {
        let cluster = try PrivateCluster.shared()
        return try cluster.execute(
            """
            SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
            WHERE table_schema = 'public' ORDER BY 1, ordinal_position;
            SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
            SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace ORDER BY 1::text, 2;
            SELECT relname, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
            """,
            in: name
        )
    }

    @Test("Versions are numbered without a gap")
    func numbers() {
        #expect(Migration.all.map(\.version) == Array(1...Schema.version))
    }

    @Test("Every earlier version becomes the same schema", arguments: 0..<Schema.version)
    func everyVersion(start: Int) async throws {
        let cluster = try PrivateCluster.shared()
        let (fresh, old) = (try cluster.makeDatabase(), try cluster.makeDatabase())
        #expect(try await migrate(cluster.url(fresh)) == Schema.version)
        #expect(try await migrate(cluster.url(old), to: start) == start)
        #expect(try await migrate(cluster.url(old)) == Schema.version)
        #expect(try describe(old) == describe(fresh))
        #expect(try describe(fresh).contains("roster_items"))
    }

    @Test("Processes that migrate at the same time do it once")
    func race() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        let url = cluster.url(name)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<5 { group.addTask { try await migrate(url) } }
            for try await version in group { #expect(version == Schema.version) }
        }
        #expect(try cluster.execute("SELECT count(*) FROM schema_version", in: name) == "\(Schema.version)")
    }

    @Test("A newer schema is refused in words that an operator understands")
    func newerSchema() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        _ = try await migrate(cluster.url(name))
        try cluster.execute("INSERT INTO schema_version VALUES (1000)", in: name)
        let expected = DatabaseError.schemaTooNew(found: 1000, known: Schema.version)
        #expect(await failure { try await migrate(cluster.url(name)) } == expected)
        let database = try await DatabaseFixture(cluster.url(name))
        #expect(await failure { try await database.on { $0.waitForSchema() } } == expected)
        try await database.shutdown()
        #expect(expected.description.contains("newer version of Jackdaw"))
        #expect(expected.description.contains("1000"))
    }

    @Test("A step that fails leaves the schema as it was")
    func failingStep() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        _ = try await migrate(cluster.url(name), to: 1)
        try cluster.execute("CREATE TABLE roster_items (x int)", in: name, role: "jackdaw_sm")
        guard case .failed(let sqlstate, _) = await failure({ try await migrate(cluster.url(name)) }) else {
            Issue.record("no failure")
            return
        }
        #expect(sqlstate == "42P07")
        #expect(try cluster.execute("SELECT max(version) FROM schema_version", in: name) == "1")
        #expect(try cluster.execute("SELECT to_regclass('roster_versions') IS NULL", in: name) == "t")
    }

    @Test("A process waits until the schema has its version")
    func wait() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        let database = try await DatabaseFixture(cluster.url(name, role: "jackdaw_c2s"))
        async let waiting: Void = database.on { $0.waitForSchema() }
        _ = try await migrate(cluster.url(name))
        try await waiting
        try await database.shutdown()
    }

    @Test("The role of C2S reads credentials and the version, and can do nothing else")
    func role() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        _ = try await migrate(cluster.url(name))
        let tables = try cluster.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", in: name)
        let names = tables.split(separator: "\n").map(String.init)
        #expect(names.contains("users") && names.contains("spool"))
        for table in names {
            let isReadable = (try? cluster.execute("SELECT * FROM \(table)", in: name, role: "jackdaw_c2s")) != nil
            #expect(isReadable == ["credentials", "schema_version"].contains(table), "\(table)")
            for sql in ["DELETE FROM \(table)", "TRUNCATE \(table)", "DROP TABLE \(table)"] {
                #expect(throws: (any Error).self) { try cluster.execute(sql, in: name, role: "jackdaw_c2s") }
            }
        }
        for sql in ["UPDATE credentials SET iterations = 1", "CREATE TABLE x ()", "CREATE TEMPORARY TABLE x ()"] {
            #expect(throws: (any Error).self) { try cluster.execute(sql, in: name, role: "jackdaw_c2s") }
        }
    }

    @Test("Credentials are found by address, one row for each hash")
    func credentials() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        _ = try await migrate(cluster.url(name))
        try cluster.execute(
            """
            INSERT INTO users (local, domain) VALUES ('juliet', 'localhost');
            INSERT INTO credentials VALUES ('juliet', 'localhost', 'SHA-256', 10000, '\\x01', '\\x02', '\\x0300');
            INSERT INTO credentials VALUES ('juliet', 'localhost', 'SHA-1', 4096, '\\x04', '\\x05', '\\x06');
            """,
            in: name
        )
        let database = try await DatabaseFixture(cluster.url(name, role: "jackdaw_c2s")) { $0.writeConnections = 0 }
        let found = try await database.on { CredentialReader($0).credentials(local: "juliet", domain: "localhost") }
        #expect(
            found == [
                CredentialRow(hash: "SHA-1", iterations: 4096, salt: [4], storedKey: [5], serverKey: [6]),
                CredentialRow(hash: "SHA-256", iterations: 10_000, salt: [1], storedKey: [2], serverKey: [3, 0]),
            ]
        )
        let none = try await database.on { CredentialReader($0).credentials(local: "romeo", domain: "localhost") }
        #expect(none.isEmpty)
        #expect(await failure { try await database.run("SELECT 1", on: .write("")) } == .unavailable)
        try await database.shutdown()
    }
}
