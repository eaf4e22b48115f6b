// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// Blocklists (XEP-0191), vCards (XEP-0054), private storage (XEP-0049) and last activity (XEP-0012).
    ///
    /// A blocked address may be a full JID of up to 3071 bytes, more than an index takes: its hash is indexed.
    static let profiles = Migration(
        version: 4,
        sql: """
            CREATE TABLE blocklist (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                jid text NOT NULL
            );
            CREATE UNIQUE INDEX blocklist_key ON blocklist (user_id, hashtextextended(jid, 0));
            CREATE TABLE vcards (
                user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
                vcard bytea NOT NULL
            );
            CREATE TABLE private_xml (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                namespace text NOT NULL CHECK (octet_length(namespace) <= 1500),
                name text NOT NULL CHECK (octet_length(name) <= 500),
                xml bytea NOT NULL,
                PRIMARY KEY (user_id, namespace, name)
            );
            CREATE TABLE last_activity (
                user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
                seen timestamptz NOT NULL,
                status text
            );
            """
    )
}
