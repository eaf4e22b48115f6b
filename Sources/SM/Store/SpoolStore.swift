// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// A message to keep for a user.
struct SpoolEntry: Sendable {
    var user: BareJID
    /// The stable id of the stanza: keeping it twice keeps it once.
    var stableID: String
    /// When it arrived (XEP-0203), in microseconds since 1970 UTC.
    var stored: Int64
    var stanza: ByteBuffer
}

/// What became of a ``SpoolEntry``.
enum SpoolOutcome: Sendable, Equatable {
    /// The message is kept, now or since an earlier call with the same stable id, in this row.
    case stored(row: Int64)
    /// The user has as many messages as the quota allows.
    case full
    case noSuchUser
}

/// A place in a user's spool: in the order of arrival, which is not that of storing where a row had to be tried again.
struct SpoolPosition: Sendable, Comparable {
    static let start = SpoolPosition(stored: 0, id: 0)

    /// ``SpoolRow/stored`` and ``SpoolRow/id`` of the row.
    var stored: Int64
    var id: Int64

    static func < (left: Self, right: Self) -> Bool { (left.stored, left.id) < (right.stored, right.id) }
}

/// A message that waits for its user.
struct SpoolRow: Sendable, Equatable {
    /// Rises in the order of storing; names the row to ``SpoolStore/delete(_:of:)``.
    var id: Int64
    var stableID: String
    /// When it arrived, in microseconds since 1970 UTC.
    var stored: Int64
    var stanza: ByteBuffer

    var position: SpoolPosition { SpoolPosition(stored: stored, id: id) }
}

/// Whose spool a message is in.
struct SpoolPlace: Sendable, Equatable {
    var user: BareJID
    /// Microseconds since 1970 UTC.
    var stored: Int64
}

/// Messages that wait for their user (XEP-0160), in the order in which they arrived.
final class SpoolStore {
    private let database: Database
    private var room = SpoolRoom()

    init(database: Database) {
        self.database = database
    }

    /// Keeps a message, unless the user has `quota` of them. What is appended in one turn of the loop, and what waits
    /// for the transaction before it, is committed together.
    func append(_ entry: SpoolEntry, quota: Int) -> EventLoopFuture<SpoolOutcome> {
        let values = entry.user.key + [.text(entry.stableID), .int(entry.stored), .buffer(entry.stanza)]
        if room.take(entry.user, quota: quota) { return append(values, of: entry.user, quota: quota) }
        let rows = database.query(.appendCountedToSpool, values + [.int(Int64(quota))], on: entry.user.lane)
        rows.assumeIsolated().whenComplete { result in
            let count = (try? result.get())?.first?.int(1)
            self.room.answered(entry.user, count.map { Int($0) }, quota: quota)
        }
        return rows.map { Self.outcome($0) }
    }

    /// Likewise, where there is room: a plain insertion takes PostgreSQL half of the time. Where nothing was inserted, it
    /// is asked why.
    private func append(
        _ values: [DatabaseValue],
        of user: BareJID,
        quota: Int
    ) -> EventLoopFuture<SpoolOutcome> {
        let inserted = database.query(.appendToSpool, values, on: user.lane)
        inserted.assumeIsolated().whenComplete { _ in self.room.answered(user, nil, quota: quota) }
        return inserted.assumeIsolated().flatMap { rows in
            if let row = rows.first?.int(0) { return inserted.eventLoop.makeSucceededFuture(.stored(row: row)) }
            let counted = self.database.query(.appendCountedToSpool, values + [.null], on: user.lane)
            return counted.map { Self.outcome($0) }
        }.nonisolated()
    }

    private static func outcome(_ rows: [Row]) -> SpoolOutcome {
        guard let answer = rows.first else { return .noSuchUser }
        return answer.int(0).map { .stored(row: $0) } ?? .full
    }

    /// A page of the messages of a user, oldest first, after the given place: at most `limit` of them, and none after
    /// those that together have `bytes`. It is empty when there are no more.
    func load(_ user: BareJID, after place: SpoolPosition, limit: Int, bytes: Int) -> EventLoopFuture<[SpoolRow]> {
        let values: [DatabaseValue] = [
            .int(place.stored), .int(place.id), .int(Int64(limit)), .int(Int64(bytes)),
        ]
        return database.rows(.loadSpool, for: user, values) { row in
            guard let id = row.int(0), let stableID = row.text(1), let stored = row.microseconds(2),
                let stanza = row.bytes(3)
            else { return nil }
            return SpoolRow(id: id, stableID: stableID, stored: stored, stanza: stanza)
        }
    }

    /// Deletes messages by id and gives how many there were; those that are gone already are no error.
    func delete(_ ids: [Int64], of user: BareJID) -> EventLoopFuture<Int> {
        database.change(.deleteFromSpool, for: user, [.texts(ids.map { String($0) })])
    }

    /// Deletes messages by stable id and gives how many there were.
    func delete(stableIDs: [String], of user: BareJID) -> EventLoopFuture<Int> {
        database.change(.deleteFromSpoolByStableID, for: user, [.texts(stableIDs)])
    }

    /// The users for whom a message waits. It looks at each user, so it takes its time: for people who ask.
    func find(stableID: String) -> EventLoopFuture<[SpoolPlace]> {
        database.query(.findInSpool, [.text(stableID)], on: .read).map { rows in
            rows.compactMap { row in
                guard let local = row.text(0), let domain = row.text(1), let stored = row.microseconds(2),
                    let user = try? BareJID(local: local, domain: domain)
                else { return nil }
                return SpoolPlace(user: user, stored: stored)
            }
        }
    }

    /// How many messages wait for a user.
    func count(_ user: BareJID) -> EventLoopFuture<Int> {
        database.rows(.countSpool, for: user) { $0.int(0) }.map { Int($0.first ?? 0) }
    }
}

extension Statement {
    /// One row if the message is new and its user exists.
    fileprivate static let appendToSpool = Statement(
        "append_to_spool",
        isRepeatable: true,
        """
        INSERT INTO spool (user_id, stable_id, stored, size, stanza)
        SELECT id, $3, to_timestamp($4::bigint / 1000000.0), octet_length($5::bytea), $5::bytea
        FROM users WHERE local = $1 AND domain = $2
        ON CONFLICT DO NOTHING
        RETURNING id
        """
    )
    /// One row for a user that exists: where the message is kept, if it is, and, if there was a quota `$6`, how many are.
    fileprivate static let appendCountedToSpool = Statement(
        "append_counted_to_spool",
        isRepeatable: true,
        """
        WITH u AS (
            SELECT id FROM users WHERE local = $1 AND domain = $2
        ), old AS (
            SELECT u.id, CASE WHEN $6::bigint IS NOT NULL THEN
                (SELECT count(*) FROM (SELECT FROM spool s WHERE s.user_id = u.id LIMIT $6::bigint) c) END AS count
            FROM u
        ), new AS (
            INSERT INTO spool (user_id, stable_id, stored, size, stanza)
            SELECT id, $3, to_timestamp($4::bigint / 1000000.0), octet_length($5::bytea), $5::bytea FROM old
            WHERE count IS NULL OR count < $6::bigint
            ON CONFLICT DO NOTHING
            RETURNING id
        )
        SELECT coalesce(
                (SELECT id FROM new),
                (SELECT s.id FROM spool s WHERE s.user_id = old.id AND s.stable_id = $3)),
            old.count + (SELECT count(*) FROM new)
        FROM old
        """
    )
    /// The user's number. It stands for itself, so that PostgreSQL looks it up first: of a join with a table that it takes
    /// for empty, as it takes the spool, it would read all of that table for each user.
    private static let user = "(SELECT id FROM users WHERE local = $1 AND domain = $2)"
    fileprivate static let loadSpool = Statement(
        "load_spool",
        isRepeatable: true,
        """
        WITH page AS (
            SELECT id, stable_id, stored, size, stanza FROM spool
            WHERE user_id = \(user) AND (stored, id) > (to_timestamp($3::bigint / 1000000.0), $4::bigint)
            ORDER BY stored, id LIMIT $5
        ), summed AS (
            SELECT *, sum(size) OVER (ORDER BY stored, id) - size AS before FROM page
        )
        SELECT id, stable_id, stored, stanza FROM summed WHERE before < $6::bigint ORDER BY stored, id
        """
    )
    fileprivate static let findInSpool = Statement(
        "find_in_spool",
        isRepeatable: true,
        """
        SELECT u.local, u.domain, s.stored FROM users u JOIN spool s ON s.user_id = u.id
        WHERE s.stable_id = $1 ORDER BY s.stored LIMIT 500
        """
    )
    fileprivate static let deleteFromSpool = Statement(
        "delete_from_spool",
        isRepeatable: true,
        """
        DELETE FROM spool WHERE user_id = \(user) AND id = ANY ($3::bigint[])
        """
    )
    fileprivate static let deleteFromSpoolByStableID = Statement(
        "delete_from_spool_by_stable_id",
        isRepeatable: true,
        """
        DELETE FROM spool WHERE user_id = \(user) AND stable_id = ANY ($3::text[])
        """
    )
    fileprivate static let countSpool = Statement(
        "count_spool",
        isRepeatable: true,
        """
        SELECT count(*) FROM spool WHERE user_id = \(user)
        """
    )
}
