// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// Messages that wait for their user (XEP-0160).
    ///
    /// The stable id makes storing idempotent. Stanzas are stored as they are: compressing them costs more time than
    /// the space is worth.
    static let spool = Migration(
        version: 3,
        sql: """
            CREATE TABLE spool (
                user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
                id bigint GENERATED ALWAYS AS IDENTITY,
                stable_id text NOT NULL,
                stored timestamptz NOT NULL,
                size integer NOT NULL,
                stanza bytea NOT NULL,
                PRIMARY KEY (user_id, id),
                UNIQUE (user_id, stable_id)
            );
            ALTER TABLE spool ALTER COLUMN stanza SET STORAGE EXTERNAL;
            """
    )
}
