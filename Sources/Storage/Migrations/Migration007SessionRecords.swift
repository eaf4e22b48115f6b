// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// One row for each client session, so that a new owner of its user knows whom to expect and whom to report gone.
    ///
    /// Unlogged: a row costs no fsync, and after a crash of PostgreSQL the tables are empty; a live SM sees by its row in
    /// `session_record_writers` that it has to write its sessions again. `token` is the SHA-256 of the resumption token.
    /// Rows are read by pages of the key: all of them, since PostgreSQL cannot tell the owner of a user.
    static let sessionRecords = Migration(
        version: 7,
        sql: """
            CREATE UNLOGGED TABLE session_records (
                session text PRIMARY KEY,
                local text NOT NULL,
                domain text NOT NULL,
                resource text NOT NULL,
                token bytea,
                resumption_seconds bigint NOT NULL,
                instance text NOT NULL,
                attach bigint NOT NULL,
                detached_at timestamptz,
                settled_run bigint NOT NULL,
                counts_from bigint NOT NULL,
                state bytea
            );
            CREATE UNLOGGED TABLE session_record_writers (
                instance text PRIMARY KEY,
                incarnation text NOT NULL
            );
            """
    )
}
