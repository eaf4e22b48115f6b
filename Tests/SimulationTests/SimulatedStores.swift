// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

@testable import SM

/// What an SM keeps in the simulated database: the spool; everything else is empty.
struct SimulatedStores {
    let connection: SimulatedConnection

    var stores: Stores {
        Stores(
            accounts: self,
            roster: self,
            blocklist: SimulatedBlocklists(connection: connection),
            spool: SimulatedSpool(connection: connection),
            vcards: SimulatedVCards(connection: connection),
            privateXML: SimulatedPrivateXML(connection: connection),
            lastActivity: SimulatedLastActivity(connection: connection)
        )
    }
}

extension SimulatedStores: AccountStorage {
    func create(_ user: BareJID, credentials: [CredentialRow]) -> EventLoopFuture<Bool> {
        connection.ask(user) { false }
    }
    func setCredentials(_ credentials: [CredentialRow], of user: BareJID) -> EventLoopFuture<Bool> {
        connection.ask(user) { false }
    }
    func remove(_ user: BareJID) -> EventLoopFuture<Bool> { connection.ask(user) { false } }
    func exists(_ user: BareJID) -> EventLoopFuture<Bool> {
        connection.ask(user) { [database = connection.database] in database.users.contains(user) }
    }
    func list(domain: String?, after last: BareJID?, limit: Int) -> EventLoopFuture<[UserRow]> {
        connection.loop.makeSucceededFuture([])
    }
    func count(domain: String?) -> EventLoopFuture<Int> { connection.loop.makeSucceededFuture(0) }
}

extension SimulatedStores: RosterStorage {
    func load(_ user: BareJID) -> EventLoopFuture<RosterRow> {
        connection.ask(user) { RosterRow(version: 0, epoch: "e", items: []) }
    }
    func changes(of user: BareJID, since version: Int64) -> EventLoopFuture<RosterChangesRow?> {
        connection.ask(user) { nil }
    }
    func apply(_ changes: [RosterChange], to user: BareJID) -> EventLoopFuture<[Int64?]> {
        connection.ask(user) { changes.map { _ in nil } }
    }
    func requests(_ user: BareJID) -> EventLoopFuture<[SubscriptionRequestRow]> { connection.ask(user) { [] } }
}

struct SimulatedBlocklists: BlocklistStorage {
    let connection: SimulatedConnection

    func load(_ user: BareJID) -> EventLoopFuture<[String]> { connection.ask(user) { [] } }
    func add(_ jids: [String], to user: BareJID) -> EventLoopFuture<Int> { connection.ask(user) { 0 } }
    func remove(_ jids: [String], from user: BareJID) -> EventLoopFuture<Int> { connection.ask(user) { 0 } }
    func clear(_ user: BareJID) -> EventLoopFuture<Int> { connection.ask(user) { 0 } }
}

struct SimulatedSpool: SpoolStorage {
    let connection: SimulatedConnection

    func append(_ entry: SpoolEntry, quota: Int) -> EventLoopFuture<SpoolOutcome> {
        connection.ask(entry.user) { [connection] in
            connection.trace { "row \(entry.stableID) for \(entry.user): \(String(buffer: entry.stanza))" }
            return connection.database.append(entry, quota: quota)
        }
    }
    func load(_ user: BareJID, after place: SpoolPosition, limit: Int, bytes: Int) -> EventLoopFuture<[SpoolRow]> {
        connection.ask(user) { [database = connection.database] in
            database.page(user, after: place, limit: limit, bytes: bytes)
        }
    }
    func find(stableID: String) -> EventLoopFuture<[SpoolPlace]> { connection.loop.makeSucceededFuture([]) }
    func delete(_ ids: [Int64], of user: BareJID) -> EventLoopFuture<Int> {
        connection.ask(user) { [connection] in
            connection.trace { "deletes \(ids) of \(user)" }
            return connection.database.delete(ids, of: user)
        }
    }
}

struct SimulatedVCards: VCardStorage {
    let connection: SimulatedConnection

    func load(_ user: BareJID) -> EventLoopFuture<ByteBuffer?> { connection.ask(user) { nil } }
    func set(_ vcard: ByteBuffer, of user: BareJID) -> EventLoopFuture<Bool> { connection.ask(user) { false } }
}

struct SimulatedPrivateXML: PrivateStorage {
    let connection: SimulatedConnection

    func load(_ user: BareJID, namespace: String, name: String) -> EventLoopFuture<ByteBuffer?> {
        connection.ask(user) { nil }
    }
    func set(_ xml: ByteBuffer, namespace: String, name: String, of user: BareJID) -> EventLoopFuture<Bool> {
        connection.ask(user) { false }
    }
    func usage(
        _ user: BareJID,
        without elements: [(namespace: String, name: String)]
    ) -> EventLoopFuture<PrivateUsageRow> {
        connection.ask(user) { PrivateUsageRow(elements: 0, bytes: 0) }
    }
}

struct SimulatedLastActivity: LastActivityStorage {
    let connection: SimulatedConnection

    func load(_ user: BareJID) -> EventLoopFuture<LastActivityRow?> { connection.ask(user) { nil } }
    func set(_ activity: LastActivityRow, of user: BareJID) -> EventLoopFuture<Bool> { connection.ask(user) { true } }
}
