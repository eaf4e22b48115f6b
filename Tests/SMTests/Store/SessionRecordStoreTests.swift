// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

/// Session records in a real PostgreSQL.
@Suite struct SessionRecordStoreTests {
    private static let author = SessionRecordAuthor(instance: "sm-1.jackdaw.internal", incarnation: "one")

    private func loadAll(_ fixture: StoreFixture, page: Int) async throws -> [SessionRecord] {
        let (loop, database) = (fixture.database.loop, fixture.database)
        return try await database.on { database in
            let box = Box()
            return SessionRecordStore(database: database).loadAll(page: page, on: loop) { box.records += $0 }
                .assumeIsolated().map { box.records }.nonisolated()
        }
    }

    private final class Box {
        var records: [SessionRecord] = []
    }

    private func write(_ fixture: StoreFixture, _ batch: SessionRecordBatch) async throws -> Bool {
        try await fixture.on { SessionRecordStore(database: $0).write(batch, by: Self.author) }
    }

    @Test("Records come back as they were, page by page, and are replaced and removed together")
    func roundTrip() async throws {
        let fixture = try await StoreFixture()
        var full = SessionRecordTests.record("b")
        full.user = try BareJID(local: "jülich\\", domain: "bücher.example")
        full.resource = "a \"b\" {c}, \\ \u{1F426}"
        full.tokenHash = SessionRecord.hash(ofToken: "secret")
        full.resumptionSeconds = .max
        full.detachedAt = 1_764_100_000_123_457
        (full.attach, full.settledRun, full.countsFrom) = (7, 1 << 40, 3)
        full.state = ByteBuffer(bytes: (0...255).map { UInt8($0) })
        var domain = SessionRecordTests.record("c", user: try BareJID("localhost"))
        domain.state = ByteBuffer()
        let records = [SessionRecordTests.record("a"), full, domain]
        #expect(try await !write(fixture, SessionRecordBatch(records: records)))
        for page in [1, 2, 3, 100] { #expect(try await loadAll(fixture, page: page) == records) }
        #expect(full.tokenHash?.count == 32)
        let changed = SessionRecordTests.record("b", attach: 8)
        _ = try await write(fixture, SessionRecordBatch(records: [changed], ended: ["a", "absent"], completes: true))
        #expect(try await loadAll(fixture, page: 100) == [changed, domain])
        #expect(try await write(fixture, SessionRecordBatch()))
        #expect(try await fixture.on { SessionRecordStore(database: $0).authors() } == [Self.author])
        try await fixture.database.shutdown()
    }

    @Test("A batch takes effect under its epoch only")
    func fence() async throws {
        let fixture = try await StoreFixture()
        _ = try fixture.psql("SELECT owner_raise(0)")
        _ = try await write(fixture, SessionRecordBatch(records: [SessionRecordTests.record("a")], epoch: 1))
        let error = await failure {
            try await write(fixture, SessionRecordBatch(ended: ["a"], completes: true, epoch: 2))
        }
        #expect(error == .fenced)
        #expect(try await loadAll(fixture, page: 10).map(\.name) == ["a"])
        #expect(try await fixture.on { SessionRecordStore(database: $0).authors() } == [])
        try await fixture.database.shutdown()
    }

    @Test("After a crash of PostgreSQL all live sessions are written again")
    func crash() async throws {
        let cluster = try PrivateCluster()
        let name = try cluster.makeDatabase()
        let database = try await DatabaseFixture(cluster.url(name)) { $0.patience = .seconds(30) }
        var logger = Logger(label: "records")
        logger.logLevel = .critical
        let (loop, quiet) = (database.loop, logger)
        _ = try await database.on { Migrator.migrate($0.configuration, on: loop, logger: quiet) }
        let writer = try await database.on { database in
            var limits = SessionRecordWriter.Limits()
            limits.longestSilence = .milliseconds(250)
            let store = SessionRecordStore(database: database)
            let writer = SessionRecordWriter(Self.author, store: store, eventLoop: loop, logger: quiet, limits: limits)
            writer.liveSessions = { ["b", "c"].map { SessionRecordTests.record($0) } }
            writer.start()
            for name in ["a", "b", "c"] { writer.opened(SessionRecordTests.record(name)) }
            return loop.makeSucceededFuture(NIOLoopBound(writer, eventLoop: loop))
        }
        let names = "SELECT coalesce(string_agg(session, ' ' ORDER BY session), '') FROM session_records"
        while try cluster.execute(names, in: name) != "a b c" { try await Task.sleep(for: .milliseconds(20)) }
        try await database.on { _ in
            writer.value.ended("a", of: StoreFixture.juliet)
            return loop.makeSucceededVoidFuture()
        }
        while try cluster.execute(names, in: name) != "b c" { try await Task.sleep(for: .milliseconds(20)) }
        try cluster.stop(mode: "immediate")
        try cluster.start()
        while try cluster.execute(names, in: name) != "b c" { try await Task.sleep(for: .milliseconds(20)) }
        let authors = "SELECT count(*) FROM session_record_writers"
        while try cluster.execute(authors, in: name) != "1" { try await Task.sleep(for: .milliseconds(20)) }
        try await database.on { _ in writer.value.stop() }
        try await database.shutdown()
    }
}
