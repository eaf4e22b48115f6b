// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// When a user was last there, and what the last unavailable presence said (XEP-0012).
struct LastActivityRow: Sendable, Equatable {
    /// Microseconds since 1970 UTC.
    var seen: Int64
    var status: String?
}

/// Last activity (XEP-0012).
struct LastActivityStore {
    let database: Database

    func load(_ user: BareJID) -> EventLoopFuture<LastActivityRow?> {
        database.rows(.loadLastActivity, for: user) { row in
            row.microseconds(0).map { LastActivityRow(seen: $0, status: row.text(1)) }
        }.map(\.first)
    }

    /// Remembers that a user left, or gives false if there is no such user.
    func set(_ activity: LastActivityRow, of user: BareJID) -> EventLoopFuture<Bool> {
        database.change(.setLastActivity, for: user, [.int(activity.seen), .optional(activity.status)]).map { $0 > 0 }
    }
}

extension Statement {
    fileprivate static let loadLastActivity = Statement(
        "load_last_activity",
        isRepeatable: true,
        "SELECT a.seen, a.status FROM last_activity a JOIN users u ON u.id = a.user_id WHERE u.local = $1 AND u.domain = $2"
    )
    fileprivate static let setLastActivity = Statement(
        "set_last_activity",
        isRepeatable: true,
        """
        INSERT INTO last_activity (user_id, seen, status)
        SELECT id, to_timestamp($3::bigint / 1000000.0), $4 FROM users WHERE local = $1 AND domain = $2
        ON CONFLICT (user_id) DO UPDATE SET seen = excluded.seen, status = excluded.status
        """
    )
}
