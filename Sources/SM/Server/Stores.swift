// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// What the server keeps in the database, behind protocols so that its tests need none.
///
/// All reads and writes of one user are done in the order in which they were asked for.
struct Stores {
    var accounts: any AccountStorage
    var roster: any RosterStorage
    var blocklist: any BlocklistStorage
    var spool: any SpoolStorage
    var vcards: any VCardStorage
    var privateXML: any PrivateStorage
    var lastActivity: any LastActivityStorage

    init(
        accounts: any AccountStorage,
        roster: any RosterStorage,
        blocklist: any BlocklistStorage,
        spool: any SpoolStorage,
        vcards: any VCardStorage,
        privateXML: any PrivateStorage,
        lastActivity: any LastActivityStorage
    ) {
        self.accounts = accounts
        self.roster = roster
        self.blocklist = blocklist
        self.spool = spool
        self.vcards = vcards
        self.privateXML = privateXML
        self.lastActivity = lastActivity
    }

    /// The real ones.
    init(_ database: Database) {
        self.init(
            accounts: UserStore(database: database),
            roster: RosterStore(database: database),
            blocklist: BlocklistStore(database: database),
            spool: SpoolStore(database: database),
            vcards: VCardStore(database: database),
            privateXML: PrivateStore(database: database),
            lastActivity: LastActivityStore(database: database)
        )
    }

    /// What a user in memory has; nil if there is no such user.
    func loadUser(_ user: BareJID) -> EventLoopFuture<StoredUser?> {
        let roster = roster.load(user).and(self.roster.requests(user))
        let blocklist = blocklist.load(user)
        return accounts.exists(user).and(roster).and(blocklist).map { row in
            let ((exists, (roster, requests)), blocked) = row
            return exists ? StoredUser(roster: roster, requests: requests, blocked: blocked) : nil
        }
    }
}

/// The rows that make a user in memory.
struct StoredUser: Sendable {
    let roster: RosterRow
    let requests: [SubscriptionRequestRow]
    let blocked: [String]
}

protocol AccountStorage {
    func create(_ user: BareJID, credentials: [CredentialRow]) -> EventLoopFuture<Bool>
    func setCredentials(_ credentials: [CredentialRow], of user: BareJID) -> EventLoopFuture<Bool>
    func remove(_ user: BareJID) -> EventLoopFuture<Bool>
    func exists(_ user: BareJID) -> EventLoopFuture<Bool>
    func list(domain: String?, after last: BareJID?, limit: Int) -> EventLoopFuture<[UserRow]>
    func count(domain: String?) -> EventLoopFuture<Int>
}

protocol RosterStorage {
    func load(_ user: BareJID) -> EventLoopFuture<RosterRow>
    func changes(of user: BareJID, since version: Int64) -> EventLoopFuture<RosterChangesRow?>
    func apply(_ changes: [RosterChange], to user: BareJID) -> EventLoopFuture<[Int64?]>
    func requests(_ user: BareJID) -> EventLoopFuture<[SubscriptionRequestRow]>
}

protocol BlocklistStorage {
    func load(_ user: BareJID) -> EventLoopFuture<[String]>
    func add(_ jids: [String], to user: BareJID) -> EventLoopFuture<Int>
    func remove(_ jids: [String], from user: BareJID) -> EventLoopFuture<Int>
    func clear(_ user: BareJID) -> EventLoopFuture<Int>
}

protocol SpoolStorage {
    func append(_ entry: SpoolEntry, quota: Int) -> EventLoopFuture<SpoolOutcome>
    func load(_ user: BareJID, after place: SpoolPosition, limit: Int, bytes: Int) -> EventLoopFuture<[SpoolRow]>
    func delete(_ ids: [Int64], of user: BareJID) -> EventLoopFuture<Int>
    func find(stableID: String) -> EventLoopFuture<[SpoolPlace]>
}

protocol VCardStorage {
    func load(_ user: BareJID) -> EventLoopFuture<ByteBuffer?>
    func set(_ vcard: ByteBuffer, of user: BareJID) -> EventLoopFuture<Bool>
}

protocol PrivateStorage {
    func load(_ user: BareJID, namespace: String, name: String) -> EventLoopFuture<ByteBuffer?>
    func set(_ xml: ByteBuffer, namespace: String, name: String, of user: BareJID) -> EventLoopFuture<Bool>
    func usage(
        _ user: BareJID,
        without elements: [(namespace: String, name: String)]
    ) -> EventLoopFuture<PrivateUsageRow>
}

protocol LastActivityStorage {
    func load(_ user: BareJID) -> EventLoopFuture<LastActivityRow?>
    func set(_ activity: LastActivityRow, of user: BareJID) -> EventLoopFuture<Bool>
}

extension UserStore: AccountStorage {}
extension RosterStore: RosterStorage {}
extension BlocklistStore: BlocklistStorage {}
extension SpoolStore: SpoolStorage {}
extension VCardStore: VCardStorage {}
extension PrivateStore: PrivateStorage {}
extension LastActivityStore: LastActivityStorage {}
