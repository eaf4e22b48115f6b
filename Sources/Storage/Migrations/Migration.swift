// SPDX-License-Identifier: Apache-2.0

/// One step from a version of the schema to the next. A step that was released never changes.
struct Migration: Sendable {
    let version: Int
    let sql: String

    /// All steps, in order of their versions.
    static let all: [Migration] = [accounts, rosters, spool, profiles, rosterEpochs, ownership, sessionRecords]
}

/// The schema that this program knows.
package enum Schema {
    /// The version that the last migration makes.
    package static let version = Migration.all.last?.version ?? 0

    /// The key of the advisory lock under which migrations run ("jackdaw" in ASCII).
    static let advisoryLock: Int64 = 0x6a_6163_6b64_6177

    /// Makes the table that records which steps were taken.
    static let versionTable = """
        CREATE TABLE IF NOT EXISTS schema_version (
            version integer PRIMARY KEY,
            applied timestamptz NOT NULL DEFAULT now()
        )
        """

    /// Lets the role of C2S, where there is one, read credentials and the version, and nothing else.
    static let grants = """
        DO $$
        BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'jackdaw_c2s') THEN
                EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
                EXECUTE format('GRANT CONNECT ON DATABASE %I TO jackdaw_c2s', current_database());
                REVOKE ALL ON ALL TABLES IN SCHEMA public FROM jackdaw_c2s;
                GRANT SELECT ON credentials, schema_version TO jackdaw_c2s;
            END IF;
        END
        $$
        """
}
