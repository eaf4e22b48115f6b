// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// The records of sessions in PostgreSQL, in a table that is not logged: writing them costs no fsync.
struct SessionRecordStore: SessionRecordStorage {
    let database: Database

    /// A batch is about many users, so it brings its own fence.
    private static let lane = Lane.anyEpoch("session records")

    func write(_ batch: SessionRecordBatch, by author: SessionRecordAuthor) -> EventLoopFuture<Bool> {
        let who: [DatabaseValue] = [.text(author.instance), .text(author.incarnation)]
        var requests = batch.epoch == 0 ? [] : [Request.fence(epoch: batch.epoch)]
        let question = requests.count
        requests.append(Request(.isSessionAuthor, who))
        if !batch.records.isEmpty { requests.append(Request(.writeSessions, Self.columns(batch.records))) }
        if !batch.ended.isEmpty { requests.append(Request(.removeSessions, [.texts(batch.ended)])) }
        if batch.completes { requests.append(Request(.addSessionAuthor, who)) }
        return database.transaction(requests, on: Self.lane).map { results in
            results.dropFirst(question).first?.rows.first?.bool(0) ?? false
        }
    }

    func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]> {
        database.query(.loadSessions, [.text(name), .int(Int64(limit))], on: .read).flatMapThrowing { rows in
            try rows.map { row in
                guard let record = Self.record(row) else {
                    throw DatabaseError.unexpectedResult(statement: Statement.loadSessions.name)
                }
                return record
            }
        }
    }

    func authors() -> EventLoopFuture<[SessionRecordAuthor]> {
        database.query(.sessionAuthors, on: .read).map { rows in
            rows.compactMap { row in
                guard let instance = row.text(0), let incarnation = row.text(1) else { return nil }
                return SessionRecordAuthor(instance: instance, incarnation: incarnation)
            }
        }
    }

    /// The columns as array parameters, in which an empty text stands for null.
    private static func columns(_ records: [SessionRecord]) -> [DatabaseValue] {
        [
            .texts(records.map(\.name)),
            .texts(records.map { $0.user.local ?? "" }),
            .texts(records.map(\.user.domain)),
            .texts(records.map(\.resource)),
            .texts(records.map { $0.tokenHash.map { DatabaseValue.hex($0) } ?? "" }),
            .texts(records.map { String($0.resumptionSeconds) }),
            .texts(records.map(\.instance)),
            .texts(records.map { String(Int64(clamping: $0.attach)) }),
            .texts(records.map { $0.detachedAt.map { String($0) } ?? "" }),
            .texts(records.map { String(Int64(clamping: $0.settledRun)) }),
            .texts(records.map { String(Int64(clamping: $0.countsFrom)) }),
            .texts(records.map { $0.state.map { DatabaseValue.hex($0.readableBytesView) } ?? "" }),
        ]
    }

    private static func record(_ row: Row) -> SessionRecord? {
        guard let name = row.text(0), let local = row.text(1), let domain = row.text(2), let resource = row.text(3),
            let seconds = row.int(5), let instance = row.text(6), let attach = row.int(7), let settledRun = row.int(9),
            let countsFrom = row.int(10)
        else { return nil }
        return SessionRecord(
            name: name,
            user: BareJID(preparedLocal: local.isEmpty ? nil : local, domain: domain),
            resource: resource,
            tokenHash: row.bytes(4).map { Array($0.readableBytesView) },
            resumptionSeconds: UInt32(clamping: seconds),
            instance: instance,
            attach: UInt64(clamping: attach),
            detachedAt: row.microseconds(8),
            settledRun: UInt64(clamping: settledRun),
            countsFrom: UInt64(clamping: countsFrom),
            state: row.bytes(11)
        )
    }
}

extension SessionRecordStorage {
    /// Reads all records, by pages; `each` is called on the loop with each page.
    func loadAll(
        after name: String = "",
        page: Int = 1000,
        on eventLoop: any EventLoop,
        each: @escaping ([SessionRecord]) -> Void
    ) -> EventLoopFuture<Void> {
        load(after: name, limit: page).assumeIsolated().flatMap { records in
            guard let last = records.last else { return eventLoop.makeSucceededVoidFuture() }
            each(records)
            if records.count < page { return eventLoop.makeSucceededVoidFuture() }
            return loadAll(after: last.name, page: page, on: eventLoop, each: each)
        }.nonisolated()
    }
}

extension Statement {
    fileprivate static let writeSessions = Statement(
        "write_sessions",
        isRepeatable: true,
        """
        INSERT INTO session_records (session, local, domain, resource, token, resumption_seconds, instance, attach,
            detached_at, settled_run, counts_from, state)
        SELECT n, l, d, r, nullif(t, '')::bytea, s, i, a,
            timestamptz 'epoch' + nullif(b, '')::bigint * interval '1 microsecond', u, c, nullif(x, '')::bytea
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[],
            $9::text[], $10::bigint[], $11::bigint[], $12::text[]) AS v (n, l, d, r, t, s, i, a, b, u, c, x)
        ON CONFLICT (session) DO UPDATE SET local = excluded.local, domain = excluded.domain,
            resource = excluded.resource, token = excluded.token, resumption_seconds = excluded.resumption_seconds,
            instance = excluded.instance, attach = excluded.attach, detached_at = excluded.detached_at,
            settled_run = excluded.settled_run, counts_from = excluded.counts_from, state = excluded.state
        """
    )
    fileprivate static let removeSessions = Statement(
        "remove_sessions",
        isRepeatable: true,
        "DELETE FROM session_records WHERE session = ANY ($1::text[])"
    )
    fileprivate static let loadSessions = Statement(
        "load_sessions",
        """
        SELECT session, local, domain, resource, token, resumption_seconds, instance, attach, detached_at, settled_run,
            counts_from, state
        FROM session_records WHERE session > $1 ORDER BY session LIMIT $2
        """
    )
    fileprivate static let isSessionAuthor = Statement(
        "is_session_author",
        isRepeatable: true,
        "SELECT EXISTS (SELECT FROM session_record_writers WHERE instance = $1 AND incarnation = $2)"
    )
    fileprivate static let addSessionAuthor = Statement(
        "add_session_author",
        isRepeatable: true,
        """
        INSERT INTO session_record_writers (instance, incarnation) VALUES ($1, $2)
        ON CONFLICT (instance) DO UPDATE SET incarnation = excluded.incarnation
        """
    )
    fileprivate static let sessionAuthors = Statement(
        "session_authors",
        "SELECT instance, incarnation FROM session_record_writers ORDER BY instance"
    )
}
