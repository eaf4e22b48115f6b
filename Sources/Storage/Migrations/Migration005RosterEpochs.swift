// SPDX-License-Identifier: Apache-2.0

extension Migration {
    /// What tells the versions of a roster from those of another roster of the same address (RFC 6121 §2.6).
    ///
    /// Versions are numbers that start again when an account is made again, and go back when a backup is restored:
    /// then every row gets another epoch (`UPDATE users SET roster_epoch = DEFAULT`).
    static let rosterEpochs = Migration(
        version: 5,
        sql: "ALTER TABLE users ADD COLUMN roster_epoch text NOT NULL DEFAULT left(gen_random_uuid()::text, 8)"
    )
}
