// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// A user's SCRAM verifier for one hash (RFC 5802 §3). The password itself is never stored.
package struct CredentialRow: Sendable, Equatable {
    /// `SHA-1`, `SHA-256` or `SHA-512`.
    package var hash: String
    package var iterations: Int
    package var salt: [UInt8]
    package var storedKey: [UInt8]
    package var serverKey: [UInt8]

    package init(hash: String, iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.hash = hash
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }
}

/// Looks up credentials; all that C2S does with the database.
package struct CredentialReader {
    private let database: Database

    package init(_ database: Database) {
        self.database = database
    }

    /// The credentials of a user, one for each hash; empty for a user that does not exist.
    package func credentials(local: String, domain: String) -> EventLoopFuture<[CredentialRow]> {
        let statement = Self.statement
        return database.query(statement, [.text(local), .text(domain)], on: .read).flatMapThrowing { rows in
            try rows.map { row in
                guard let hash = row.text(0), let iterations = row.int(1), let salt = row.bytes(2),
                    let storedKey = row.bytes(3), let serverKey = row.bytes(4)
                else { throw DatabaseError.unexpectedResult(statement: statement.name) }
                return CredentialRow(
                    hash: hash,
                    iterations: Int(iterations),
                    salt: Array(salt.readableBytesView),
                    storedKey: Array(storedKey.readableBytesView),
                    serverKey: Array(serverKey.readableBytesView)
                )
            }
        }
    }

    private static let statement = Statement(
        "read_credentials",
        """
        SELECT hash, iterations, salt, stored_key, server_key FROM credentials
        WHERE local = $1 AND domain = $2 ORDER BY hash
        """
    )
}
