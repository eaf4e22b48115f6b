// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// A user that exists.
struct UserRow: Sendable, Equatable {
    var user: BareJID
    /// Microseconds since 1970 UTC.
    var created: Int64
}

/// The users and their credentials. Rows hold what was derived of a password, never the password.
///
/// Accounts are made, changed and removed by whoever was asked to, not by the owner alone.
struct UserStore {
    let database: Database

    /// Makes a user with its credentials, or gives false if the user exists: then nothing changes.
    func create(_ user: BareJID, credentials: [CredentialRow]) -> EventLoopFuture<Bool> {
        database.execute(.createUser, user.key + credentials.columns, on: user.accountLane).map { $0 > 0 }
    }

    /// Replaces all credentials of a user, or gives false if there is no such user.
    func setCredentials(_ credentials: [CredentialRow], of user: BareJID) -> EventLoopFuture<Bool> {
        let requests = [
            Request(.deleteCredentials, user.key),
            Request(.insertCredentials, user.key + credentials.columns),
        ]
        return database.transaction(requests, on: user.accountLane).map { ($0.last?.affected ?? 0) > 0 }
    }

    /// Removes a user and every row of that user, or gives false if there is no such user.
    func remove(_ user: BareJID) -> EventLoopFuture<Bool> {
        database.execute(.removeUser, user.key, on: user.accountLane).map { $0 > 0 }
    }

    func exists(_ user: BareJID) -> EventLoopFuture<Bool> {
        database.query(.userExists, user.key, on: user.accountLane).map { $0.first?.bool(0) ?? false }
    }

    /// A page of the users of a domain (nil: of all), ordered by domain and local part, after the given one.
    func list(domain: String?, after last: BareJID? = nil, limit: Int = 1000) -> EventLoopFuture<[UserRow]> {
        let values: [DatabaseValue] = [
            .optional(domain), .text(last?.domain ?? ""), .text(last?.local ?? ""), .int(Int64(limit)),
        ]
        return database.query(.listUsers, values, on: .read).map { rows in
            rows.compactMap { row in
                guard let local = row.text(0), let domain = row.text(1), let created = row.microseconds(2) else {
                    return nil
                }
                return (try? BareJID(local: local, domain: domain)).map { UserRow(user: $0, created: created) }
            }
        }
    }

    /// How many users a domain (nil: all) has.
    func count(domain: String?) -> EventLoopFuture<Int> {
        database.query(.countUsers, [.optional(domain)], on: .read).map { Int($0.first?.int(0) ?? 0) }
    }
}

extension [CredentialRow] {
    /// The columns of the rows, as array parameters.
    fileprivate var columns: [DatabaseValue] {
        [
            .texts(map(\.hash)),
            .texts(map { String($0.iterations) }),
            .texts(map { DatabaseValue.hex($0.salt) }),
            .texts(map { DatabaseValue.hex($0.storedKey) }),
            .texts(map { DatabaseValue.hex($0.serverKey) }),
        ]
    }
}

extension Statement {
    fileprivate static let createUser = Statement(
        "create_user",
        """
        WITH u AS (INSERT INTO users (local, domain) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING local, domain)
        INSERT INTO credentials (local, domain, hash, iterations, salt, stored_key, server_key)
        SELECT u.local, u.domain, c.*
        FROM u, unnest($3::text[], $4::integer[], $5::bytea[], $6::bytea[], $7::bytea[]) AS c
        """
    )
    fileprivate static let deleteCredentials = Statement(
        "delete_credentials",
        isRepeatable: true,
        "DELETE FROM credentials WHERE local = $1 AND domain = $2"
    )
    fileprivate static let insertCredentials = Statement(
        "insert_credentials",
        isRepeatable: true,
        """
        INSERT INTO credentials (local, domain, hash, iterations, salt, stored_key, server_key)
        SELECT u.local, u.domain, c.*
        FROM users u, unnest($3::text[], $4::integer[], $5::bytea[], $6::bytea[], $7::bytea[]) AS c
        WHERE u.local = $1 AND u.domain = $2
        """
    )
    fileprivate static let removeUser = Statement("remove_user", "DELETE FROM users WHERE local = $1 AND domain = $2")
    fileprivate static let userExists = Statement(
        "user_exists",
        isRepeatable: true,
        "SELECT EXISTS (SELECT FROM users WHERE local = $1 AND domain = $2)"
    )
    fileprivate static let listUsers = Statement(
        "list_users",
        """
        SELECT local, domain, created FROM users
        WHERE ($1::text IS NULL OR domain = $1) AND (domain, local) > ($2, $3)
        ORDER BY domain, local LIMIT $4
        """
    )
    fileprivate static let countUsers = Statement(
        "count_users",
        "SELECT count(*) FROM users WHERE $1::text IS NULL OR domain = $1"
    )
}
