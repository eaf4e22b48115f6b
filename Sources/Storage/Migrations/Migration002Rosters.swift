// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// Rosters with their versions (RFC 6121 §2), and the subscription requests that wait for an answer (§3.1.3).
    ///
    /// Every change of an item raises the version in `roster_versions` and stamps the item, or the tombstone that a
    /// removed item leaves. Versions up to `floor` can not be replayed: tombstones from before it were dropped.
    static let rosters = Migration(
        version: 2,
        sql: """
            CREATE TABLE roster_versions (
                user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
                version bigint NOT NULL,
                floor bigint NOT NULL DEFAULT 0
            );
            CREATE TABLE roster_items (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                contact text NOT NULL,
                name text,
                subscription text NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
                ask boolean NOT NULL,
                approved boolean NOT NULL,
                groups text[] NOT NULL,
                version bigint NOT NULL,
                PRIMARY KEY (user_id, contact)
            );
            CREATE TABLE roster_tombstones (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                contact text NOT NULL,
                version bigint NOT NULL,
                PRIMARY KEY (user_id, contact)
            );
            CREATE INDEX roster_tombstones_version ON roster_tombstones (user_id, version);
            CREATE TABLE subscription_requests (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                contact text NOT NULL,
                received timestamptz NOT NULL,
                stanza bytea NOT NULL,
                PRIMARY KEY (user_id, contact)
            );
            """
    )
}
