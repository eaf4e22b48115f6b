// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import Storage
import TestSupport
import XMPPCore

@testable import SM

/// A database with the current schema, and some users.
struct StoreFixture {
    static let juliet = bareJID("juliet@localhost")
    static let romeo = bareJID("romeo@localhost")
    static let nobody = bareJID("nobody@localhost")

    let name: String
    let database: DatabaseFixture

    /// Makes the database, with the users juliet and romeo.
    init() async throws {
        let cluster = try PrivateCluster.shared()
        name = try cluster.makeDatabase()
        database = try await DatabaseFixture(cluster.url(name))
        var logger = Logger(label: "migrations")
        logger.logLevel = .critical
        let (loop, quiet) = (database.loop, logger)
        _ = try await database.on { Migrator.migrate($0.configuration, on: loop, logger: quiet) }
        for user in [Self.juliet, Self.romeo] {
            _ = try await database.on { UserStore(database: $0).create(user, credentials: []) }
        }
    }

    /// Calls a store on the loop, and waits for the answer.
    func on<Value: Sendable>(_ body: @escaping @Sendable (Database) -> EventLoopFuture<Value>) async throws -> Value {
        try await database.on(body)
    }

    /// SQL as the superuser.
    func psql(_ sql: String) throws -> String {
        try PrivateCluster.shared().execute(sql, in: name)
    }
}

private func bareJID(_ string: String) -> BareJID {
    guard let jid = try? JID(string) else { fatalError("\(string) is no address") }
    return jid.bare
}
