// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// How much a user keeps in private storage.
struct PrivateUsageRow: Sendable, Equatable {
    var elements: Int
    var bytes: Int
}

/// Private XML storage (XEP-0049): one element for each namespace and name.
struct PrivateStore {
    let database: Database

    /// The bytes of a stored element; nil if there is none.
    func load(_ user: BareJID, namespace: String, name: String) -> EventLoopFuture<ByteBuffer?> {
        database.rows(.loadPrivateXML, for: user, [.text(namespace), .text(name)]) { $0.bytes(0) }.map(\.first)
    }

    /// Replaces a stored element, or gives false if there is no such user.
    ///
    /// Fails with ``DatabaseError/constraint(name:sqlstate:)`` for a namespace of more than 1500 bytes or a name of
    /// more than 500.
    func set(_ xml: ByteBuffer, namespace: String, name: String, of user: BareJID) -> EventLoopFuture<Bool> {
        database.change(.setPrivateXML, for: user, [.text(namespace), .text(name), .buffer(xml)]).map { $0 > 0 }
    }

    /// What a user has stored, but for some elements, which are about to be replaced.
    func usage(
        _ user: BareJID,
        without elements: [(namespace: String, name: String)]
    ) -> EventLoopFuture<PrivateUsageRow> {
        let excluded: [DatabaseValue] = [.texts(elements.map(\.namespace)), .texts(elements.map(\.name))]
        return database.query(.privateXMLUsage, user.key + excluded, on: user.lane).map { rows in
            PrivateUsageRow(elements: Int(rows.first?.int(0) ?? 0), bytes: Int(rows.first?.int(1) ?? 0))
        }
    }
}

extension Statement {
    fileprivate static let loadPrivateXML = Statement(
        "load_private_xml",
        isRepeatable: true,
        """
        SELECT p.xml FROM private_xml p JOIN users u ON u.id = p.user_id
        WHERE u.local = $1 AND u.domain = $2 AND p.namespace = $3 AND p.name = $4
        """
    )
    fileprivate static let setPrivateXML = Statement(
        "set_private_xml",
        isRepeatable: true,
        """
        INSERT INTO private_xml (user_id, namespace, name, xml)
        SELECT id, $3, $4, $5::bytea FROM users WHERE local = $1 AND domain = $2
        ON CONFLICT (user_id, namespace, name) DO UPDATE SET xml = excluded.xml
        """
    )
    fileprivate static let privateXMLUsage = Statement(
        "private_xml_usage",
        isRepeatable: true,
        """
        SELECT count(*), coalesce(sum(octet_length(p.xml)), 0)::bigint
        FROM private_xml p JOIN users u ON u.id = p.user_id WHERE u.local = $1 AND u.domain = $2
        AND (p.namespace, p.name) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
        """
    )
}
