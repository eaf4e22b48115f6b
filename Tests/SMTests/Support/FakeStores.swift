// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

@testable import SM

/// The database as dictionaries. It can be away, and it can be slow: then answers wait for `answer()`.
final class FakeDatabase {
    struct Account {
        var credentials: [CredentialRow] = []
        var version: Int64 = 0
        var epoch = "e1"
        var items: [String: RosterItemRow] = [:]
        var removed: [(contact: String, version: Int64)] = []
        var requests: [String: SubscriptionRequestRow] = [:]
        var blocked: Set<String> = []
        var spool: [SpoolRow] = []
        var vcard: ByteBuffer?
        var privateXML: [String: ByteBuffer] = [:]
        var activity: LastActivityRow?
    }

    let eventLoop: any EventLoop
    var accounts: [BareJID: Account] = [:]
    var isAway = false
    var isSlow = false
    /// Whether a removal is done and its answer lost.
    var losesRemovals = false
    /// How much may wait while it is slow.
    var queueLength = Int.max
    /// How often a user was loaded.
    var loads: [BareJID: Int] = [:]
    /// The bytes of the largest page of the spool that was read.
    var mostRowBytes = 0
    private var nextRow: Int64 = 1
    private var waiting: [() -> Void] = []

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    var stores: Stores {
        Stores(
            accounts: self,
            roster: FakeRosters(database: self),
            blocklist: FakeBlocklists(database: self),
            spool: FakeSpool(database: self),
            vcards: FakeVCards(database: self),
            privateXML: FakePrivateXML(database: self),
            lastActivity: FakeLastActivity(database: self)
        )
    }

    func spool(_ user: BareJID) -> [String] {
        accounts[user]?.spool.map { String(buffer: $0.stanza) } ?? []
    }

    /// Lets a slow database answer what waits.
    func answer() {
        let work = waiting
        waiting = []
        for item in work { item() }
    }

    func run<Value: Sendable>(_ body: @escaping () -> Value) -> EventLoopFuture<Value> {
        if isAway { return eventLoop.makeFailedFuture(DatabaseError.unavailable) }
        guard isSlow else { return eventLoop.makeSucceededFuture(body()) }
        if waiting.count >= queueLength { return eventLoop.makeFailedFuture(DatabaseError.overloaded) }
        let promise = eventLoop.makePromise(of: Value.self)
        waiting.append { [self] in
            if isAway { promise.fail(DatabaseError.unavailable) } else { promise.succeed(body()) }
        }
        return promise.futureResult
    }

    /// Changes an account; nil if there is none.
    func change<Value>(_ user: BareJID, _ body: (inout Account) -> Value) -> Value? {
        guard var account = accounts[user] else { return nil }
        let value = body(&account)
        accounts[user] = account
        return value
    }

    func takeRow() -> Int64 {
        nextRow += 1
        return nextRow
    }
}

extension FakeDatabase: AccountStorage {
    func create(_ user: BareJID, credentials: [CredentialRow]) -> EventLoopFuture<Bool> {
        run { [self] in
            guard accounts[user] == nil else { return false }
            accounts[user] = Account(credentials: credentials, epoch: "e\(takeRow())")
            return true
        }
    }
    func setCredentials(_ credentials: [CredentialRow], of user: BareJID) -> EventLoopFuture<Bool> {
        run { [self] in change(user) { $0.credentials = credentials } != nil }
    }
    func remove(_ user: BareJID) -> EventLoopFuture<Bool> {
        let removed = run { [self] in accounts.removeValue(forKey: user) != nil }
        return losesRemovals ? eventLoop.makeFailedFuture(DatabaseError.unavailable) : removed
    }
    func exists(_ user: BareJID) -> EventLoopFuture<Bool> {
        loads[user, default: 0] += 1
        return run { [self] in accounts[user] != nil }
    }
    func list(domain: String?, after last: BareJID?, limit: Int) -> EventLoopFuture<[UserRow]> {
        run { [self] in
            accounts.keys.filter { domain == nil || $0.domain == domain }
                .sorted { $0.description < $1.description }
                .filter { last == nil || $0.description > last?.description ?? "" }
                .prefix(limit).map { UserRow(user: $0, created: 0) }
        }
    }
    func count(domain: String?) -> EventLoopFuture<Int> {
        run { [self] in accounts.keys.count { domain == nil || $0.domain == domain } }
    }
}

struct FakeRosters: RosterStorage {
    let database: FakeDatabase

    func load(_ user: BareJID) -> EventLoopFuture<RosterRow> {
        database.run { [database] in
            let account = database.accounts[user] ?? FakeDatabase.Account()
            let items = account.items.values.sorted { $0.contact < $1.contact }
            return RosterRow(version: account.version, epoch: account.epoch, items: items)
        }
    }
    func changes(of user: BareJID, since version: Int64) -> EventLoopFuture<RosterChangesRow?> {
        database.run { [database] in
            guard let account = database.accounts[user], version <= account.version else { return nil }
            return RosterChangesRow(
                version: account.version,
                items: account.items.values.filter { $0.version > version }.sorted { $0.version < $1.version },
                removed: account.removed.filter { $0.version > version }
            )
        }
    }
    func apply(_ changes: [RosterChange], to user: BareJID) -> EventLoopFuture<[Int64?]> {
        database.run { [database] in
            database.change(user) { account in
                changes.map { Self.apply($0, to: &account) }
            } ?? changes.map { _ in nil }
        }
    }
    private static func apply(_ change: RosterChange, to account: inout FakeDatabase.Account) -> Int64? {
        switch change {
        case .put(var item):
            account.version += 1
            item.version = account.version
            account.items[item.contact] = item
            account.removed.removeAll { $0.contact == item.contact }
            return account.version
        case .remove(let contact):
            guard account.items.removeValue(forKey: contact) != nil else { return nil }
            account.version += 1
            account.removed.append((contact, account.version))
            return account.version
        case .putRequest(let request):
            account.requests[request.contact] = request
            return nil
        case .removeRequest(let contact):
            account.requests[contact] = nil
            return nil
        }
    }
    func requests(_ user: BareJID) -> EventLoopFuture<[SubscriptionRequestRow]> {
        database.run { [database] in
            (database.accounts[user]?.requests.values).map { $0.sorted { $0.contact < $1.contact } } ?? []
        }
    }
}

struct FakeBlocklists: BlocklistStorage {
    let database: FakeDatabase

    func load(_ user: BareJID) -> EventLoopFuture<[String]> {
        database.run { [database] in (database.accounts[user]?.blocked ?? []).sorted() }
    }
    func add(_ jids: [String], to user: BareJID) -> EventLoopFuture<Int> {
        database.run { [database] in database.change(user) { $0.blocked.formUnion(jids) }.map { jids.count } ?? 0 }
    }
    func remove(_ jids: [String], from user: BareJID) -> EventLoopFuture<Int> {
        database.run { [database] in database.change(user) { $0.blocked.subtract(jids) }.map { jids.count } ?? 0 }
    }
    func clear(_ user: BareJID) -> EventLoopFuture<Int> {
        database.run { [database] in database.change(user) { $0.blocked = [] }.map { 1 } ?? 0 }
    }
}

struct FakeSpool: SpoolStorage {
    let database: FakeDatabase

    func append(_ entry: SpoolEntry, quota: Int) -> EventLoopFuture<SpoolOutcome> {
        database.run { [database] in
            let row = database.takeRow()
            return database.change(entry.user) { account in
                if let old = account.spool.first(where: { $0.stableID == entry.stableID }) {
                    return .stored(row: old.id)
                }
                guard account.spool.count < quota else { return .full }
                account.spool.append(
                    SpoolRow(id: row, stableID: entry.stableID, stored: entry.stored, stanza: entry.stanza)
                )
                return .stored(row: row)
            } ?? .noSuchUser
        }
    }
    func load(_ user: BareJID, after place: SpoolPosition, limit: Int, bytes: Int) -> EventLoopFuture<[SpoolRow]> {
        database.run { [database] in
            var page: [SpoolRow] = []
            var sum = 0
            let rows = (database.accounts[user]?.spool ?? []).sorted { $0.position < $1.position }
            for row in rows.filter({ $0.position > place }).prefix(limit) where sum < bytes {
                page.append(row)
                sum += row.stanza.readableBytes
            }
            database.mostRowBytes = max(database.mostRowBytes, sum)
            return page
        }
    }
    func find(stableID: String) -> EventLoopFuture<[SpoolPlace]> {
        database.run { [database] in
            database.accounts.flatMap { user, account in
                account.spool.filter { $0.stableID == stableID }.map { SpoolPlace(user: user, stored: $0.stored) }
            }
        }
    }
    func delete(_ ids: [Int64], of user: BareJID) -> EventLoopFuture<Int> {
        database.run { [database] in
            database.change(user) { $0.spool.removeAll { ids.contains($0.id) } }.map { ids.count } ?? 0
        }
    }
}

struct FakeVCards: VCardStorage {
    let database: FakeDatabase

    func load(_ user: BareJID) -> EventLoopFuture<ByteBuffer?> {
        database.run { [database] in database.accounts[user]?.vcard }
    }
    func set(_ vcard: ByteBuffer, of user: BareJID) -> EventLoopFuture<Bool> {
        database.run { [database] in database.change(user) { $0.vcard = vcard } != nil }
    }
}

struct FakePrivateXML: PrivateStorage {
    let database: FakeDatabase

    func load(_ user: BareJID, namespace: String, name: String) -> EventLoopFuture<ByteBuffer?> {
        database.run { [database] in database.accounts[user]?.privateXML["\(namespace) \(name)"] }
    }
    func set(_ xml: ByteBuffer, namespace: String, name: String, of user: BareJID) -> EventLoopFuture<Bool> {
        database.run { [database] in database.change(user) { $0.privateXML["\(namespace) \(name)"] = xml } != nil }
    }
    func usage(
        _ user: BareJID,
        without elements: [(namespace: String, name: String)]
    ) -> EventLoopFuture<PrivateUsageRow> {
        database.run { [database] in
            let left = Set(elements.map { "\($0.namespace) \($0.name)" })
            let stored = (database.accounts[user]?.privateXML ?? [:]).filter { !left.contains($0.key) }
            return PrivateUsageRow(elements: stored.count, bytes: stored.values.reduce(0) { $0 + $1.readableBytes })
        }
    }
}

struct FakeLastActivity: LastActivityStorage {
    let database: FakeDatabase

    func load(_ user: BareJID) -> EventLoopFuture<LastActivityRow?> {
        database.run { [database] in database.accounts[user]?.activity }
    }
    func set(_ activity: LastActivityRow, of user: BareJID) -> EventLoopFuture<Bool> {
        database.run { [database] in database.change(user) { $0.activity = activity } != nil }
    }
}
