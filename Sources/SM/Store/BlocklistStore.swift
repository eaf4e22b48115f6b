// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// Blocklists (XEP-0191).
struct BlocklistStore {
    let database: Database

    /// The addresses that a user blocks.
    func load(_ user: BareJID) -> EventLoopFuture<[String]> {
        database.rows(.loadBlocklist, for: user) { $0.text(0) }
    }

    /// Blocks addresses and gives how many were not blocked before.
    func add(_ jids: [String], to user: BareJID) -> EventLoopFuture<Int> {
        database.change(.addToBlocklist, for: user, [.texts(jids)])
    }

    /// Unblocks addresses and gives how many were blocked.
    func remove(_ jids: [String], from user: BareJID) -> EventLoopFuture<Int> {
        database.change(.removeFromBlocklist, for: user, [.texts(jids)])
    }

    /// Unblocks all and gives how many were blocked.
    func clear(_ user: BareJID) -> EventLoopFuture<Int> {
        database.change(.clearBlocklist, for: user)
    }
}

extension Statement {
    fileprivate static let loadBlocklist = Statement(
        "load_blocklist",
        isRepeatable: true,
        """
        SELECT b.jid FROM blocklist b JOIN users u ON u.id = b.user_id
        WHERE u.local = $1 AND u.domain = $2 ORDER BY b.jid
        """
    )
    fileprivate static let addToBlocklist = Statement(
        "add_to_blocklist",
        isRepeatable: true,
        """
        INSERT INTO blocklist (user_id, jid)
        SELECT u.id, j.jid FROM users u, unnest($3::text[]) AS j (jid) WHERE u.local = $1 AND u.domain = $2
        ON CONFLICT DO NOTHING
        """
    )
    fileprivate static let removeFromBlocklist = Statement(
        "remove_from_blocklist",
        isRepeatable: true,
        """
        DELETE FROM blocklist b USING users u
        WHERE u.local = $1 AND u.domain = $2 AND b.user_id = u.id AND b.jid = ANY ($3::text[])
        """
    )
    fileprivate static let clearBlocklist = Statement(
        "clear_blocklist",
        isRepeatable: true,
        "DELETE FROM blocklist b USING users u WHERE u.local = $1 AND u.domain = $2 AND b.user_id = u.id"
    )
}
