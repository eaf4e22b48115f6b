// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// vCards, stored whole (XEP-0054).
struct VCardStore {
    let database: Database

    /// The bytes of a user's `<vCard/>`; nil if there is none.
    func load(_ user: BareJID) -> EventLoopFuture<ByteBuffer?> {
        database.rows(.loadVCard, for: user) { $0.bytes(0) }.map(\.first)
    }

    /// Replaces a user's vCard, or gives false if there is no such user.
    func set(_ vcard: ByteBuffer, of user: BareJID) -> EventLoopFuture<Bool> {
        database.change(.setVCard, for: user, [.buffer(vcard)]).map { $0 > 0 }
    }
}

extension Statement {
    fileprivate static let loadVCard = Statement(
        "load_vcard",
        isRepeatable: true,
        "SELECT v.vcard FROM vcards v JOIN users u ON u.id = v.user_id WHERE u.local = $1 AND u.domain = $2"
    )
    fileprivate static let setVCard = Statement(
        "set_vcard",
        isRepeatable: true,
        """
        INSERT INTO vcards (user_id, vcard) SELECT id, $3::bytea FROM users WHERE local = $1 AND domain = $2
        ON CONFLICT (user_id) DO UPDATE SET vcard = excluded.vcard
        """
    )
}
