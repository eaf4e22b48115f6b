// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// Users and their SCRAM verifiers.
    ///
    /// `credentials` repeats the address, so that C2S, which may read that table and no other, finds its row.
    static let accounts = Migration(
        version: 1,
        sql: """
            CREATE TABLE users (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                local text NOT NULL,
                domain text NOT NULL,
                created timestamptz NOT NULL DEFAULT now(),
                UNIQUE (local, domain)
            );
            CREATE TABLE credentials (
                local text NOT NULL,
                domain text NOT NULL,
                hash text NOT NULL CHECK (hash IN ('SHA-1', 'SHA-256', 'SHA-512')),
                iterations integer NOT NULL CHECK (iterations > 0),
                salt bytea NOT NULL,
                stored_key bytea NOT NULL,
                server_key bytea NOT NULL,
                PRIMARY KEY (local, domain, hash),
                FOREIGN KEY (local, domain) REFERENCES users (local, domain) ON UPDATE CASCADE ON DELETE CASCADE
            );
            """
    )
}
