// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Storage
import XMPPCore

@testable import SM

/// The database that all SMs of a simulation share: users, the spool, the members and their maps. It can be away.
///
/// What is asked for takes effect one after the other, when the simulation says so (`SimulatedConnection`).
final class SimulatedDatabase {
    let users: Set<BareJID>
    var spool: [BareJID: [SpoolRow]] = [:]
    /// The stable ids of all rows that ever were.
    private(set) var stored: Set<String> = []
    private var nextRow: Int64 = 0

    private(set) var epoch: UInt64 = 0
    private var maps: [OwnershipMap] = []
    private(set) var members: [String: OwnershipPeer] = [:]
    private var clock: Int64 = 0
    var isAway = false
    /// The sessions of all SMs, by name, and whose are all there.
    private var sessions: [String: SessionRecord] = [:]
    private var authors: [String: String] = [:]
    var mutation: Mutation?

    init(users: [BareJID]) {
        self.users = Set(users)
    }

    // MARK: The spool

    func append(_ entry: SpoolEntry, quota: Int) -> SpoolOutcome {
        guard users.contains(entry.user) else { return .noSuchUser }
        let rows = spool[entry.user, default: []]
        if let old = rows.first(where: { $0.stableID == entry.stableID }) { return .stored(row: old.id) }
        guard rows.count < quota else { return .full }
        nextRow += 1
        stored.insert(entry.stableID)
        spool[entry.user, default: []].append(
            SpoolRow(id: nextRow, stableID: entry.stableID, stored: entry.stored, stanza: entry.stanza)
        )
        return .stored(row: nextRow)
    }

    func page(_ user: BareJID, after place: SpoolPosition, limit: Int, bytes: Int) -> [SpoolRow] {
        var page: [SpoolRow] = []
        var sum = 0
        let rows = spool[user, default: []].sorted { $0.position < $1.position }
        for row in rows.filter({ $0.position > place }).prefix(limit) where sum < bytes {
            page.append(row)
            sum += row.stanza.readableBytes
        }
        if mutation == .rowsGoWhenTheyAreRead { _ = delete(page.map(\.id), of: user) }
        return page
    }

    func delete(_ ids: [Int64], of user: BareJID) -> Int {
        spool[user]?.removeAll { ids.contains($0.id) }
        return ids.count
    }

    // MARK: Session records

    func write(_ batch: SessionRecordBatch, by author: SessionRecordAuthor) -> Result<Bool, DatabaseError> {
        guard batch.epoch == 0 || batch.epoch == epoch || mutation == .nothingIsFenced else { return .failure(.fenced) }
        let wasComplete = authors[author.instance] == author.incarnation
        for record in batch.records { sessions[record.name] = record }
        for name in batch.ended { sessions[name] = nil }
        if batch.completes { authors[author.instance] = author.incarnation }
        return .success(wasComplete)
    }

    func records(after name: String, limit: Int) -> [SessionRecord] {
        guard mutation != .recordsAreLost else { return [] }
        return sessions.values.filter { $0.name > name }.sorted { $0.name < $1.name }.prefix(limit).map { $0 }
    }

    /// PostgreSQL crashed: the table is not logged.
    func forgetRecords() {
        sessions = [:]
        authors = [:]
    }

    var recordAuthors: [SessionRecordAuthor] {
        authors.map { SessionRecordAuthor(instance: $0.key, incarnation: $0.value) }
    }

    // MARK: Members, as the functions of the migration do it

    func join(_ member: OwnershipMember, known: UInt64) -> OwnershipMap {
        if members[member.name]?.incarnation != member.incarnation {
            clock += 1_000_000
            members[member.name] = OwnershipPeer(
                name: member.name,
                incarnation: member.incarnation,
                heartbeat: clock
            )
            raise(known)
        }
        return maps.last ?? .none
    }

    func leave(_ member: OwnershipMember) {
        guard members[member.name]?.incarnation == member.incarnation else { return }
        members[member.name] = nil
        raise(0)
    }

    func beat(_ member: OwnershipMember, known: UInt64) -> OwnershipReading {
        let isMember = members[member.name]?.incarnation == member.incarnation
        if isMember { members[member.name]?.heartbeat += 1 }
        return OwnershipReading(
            isMember: isMember,
            epoch: epoch,
            maps: maps.filter { $0.epoch > known },
            peers: members.values.sorted { $0.name < $1.name }
        )
    }

    func evict(_ peers: [OwnershipPeer]) {
        let gone = peers.filter { members[$0.name] == $0 }
        for peer in gone { members[peer.name] = nil }
        if !gone.isEmpty { raise(0) }
    }

    private func raise(_ known: UInt64) {
        epoch = max(epoch, known) + 1
        maps.append(OwnershipMap(epoch: epoch, instances: members.keys))
    }
}
