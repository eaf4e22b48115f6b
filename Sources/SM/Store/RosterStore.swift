// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

/// An item of a user's roster (RFC 6121 §2.1.2).
struct RosterItemRow: Sendable, Equatable {
    /// The contact's bare JID (an item may also name a domain or a full JID).
    var contact: String
    var name: String?
    /// `none`, `to`, `from` or `both`.
    var subscription: String
    /// A subscription request to the contact has no answer yet.
    var ask: Bool
    /// A request from the contact is approved in advance (RFC 6121 §3.4).
    var approved: Bool
    var groups: [String]
    /// The roster's version that last changed the item; set by the store.
    var version: Int64 = 0
}

/// A whole roster.
struct RosterRow: Sendable, Equatable {
    /// 0 for a roster that never changed.
    var version: Int64
    /// What tells its versions from those of another roster of the same address; empty for a user that does not exist.
    var epoch = ""
    var items: [RosterItemRow]
}

/// What changed in a roster since some version (RFC 6121 §2.6).
struct RosterChangesRow: Sendable, Equatable {
    var version: Int64
    /// Items that were added or changed, in the order of their versions.
    var items: [RosterItemRow]
    /// Contacts that were removed, in the same order, with their versions.
    var removed: [(contact: String, version: Int64)]

    static func == (left: Self, right: Self) -> Bool {
        left.version == right.version && left.items == right.items && left.removed.elementsEqual(right.removed, by: ==)
    }
}

/// A subscription request that waits for the user's answer (RFC 6121 §3.1.3).
struct SubscriptionRequestRow: Sendable, Equatable {
    /// The bare JID that asks.
    var contact: String
    /// The presence stanza as it arrived.
    var stanza: ByteBuffer
    /// Microseconds since 1970 UTC.
    var received: Int64
}

/// One change of a user's roster or of the requests that wait.
enum RosterChange: Sendable {
    /// Adds or replaces the item of this contact.
    case put(RosterItemRow)
    /// Removes the item and leaves a tombstone; no change if there is none.
    case remove(contact: String)
    /// Keeps a request; a second one of the same contact replaces the first.
    case putRequest(SubscriptionRequestRow)
    case removeRequest(contact: String)
}

/// Rosters with versions, and subscription requests that wait.
struct RosterStore {
    /// How many removed contacts of a user can be replayed; older ones make a full roster necessary.
    static let tombstones = 1000

    let database: Database

    /// The whole roster; empty for a user that does not exist.
    func load(_ user: BareJID) -> EventLoopFuture<RosterRow> {
        database.query(.loadRoster, user.key, on: user.lane).flatMapThrowing { rows in
            var roster = RosterRow(version: rows.first?.int(0) ?? 0, epoch: rows.first?.text(1) ?? "", items: [])
            roster.items.reserveCapacity(rows.count)
            for row in rows where !row.isNull(2) {
                guard let item = RosterItemRow(row, from: 2) else {
                    throw DatabaseError.unexpectedResult(statement: Statement.loadRoster.name)
                }
                roster.items.append(item)
            }
            return roster
        }
    }

    /// What changed since a version that the client has, or nil if that can not be told: send the whole roster.
    func changes(of user: BareJID, since version: Int64) -> EventLoopFuture<RosterChangesRow?> {
        database.query(.rosterChanges, user.key + [.int(version)], on: user.lane).flatMapThrowing { rows in
            guard let first = rows.first, let current = first.int(0), let floor = first.int(1) else { return nil }
            guard version >= floor, version <= current else { return nil }
            var changes = RosterChangesRow(version: current, items: [], removed: [])
            for row in rows where !row.isNull(2) {
                if row.isNull(4), let contact = row.text(2), let version = row.int(8) {
                    changes.removed.append((contact, version))
                } else if let item = RosterItemRow(row, from: 2) {
                    changes.items.append(item)
                } else {
                    throw DatabaseError.unexpectedResult(statement: Statement.rosterChanges.name)
                }
            }
            return changes
        }
    }

    /// Makes the changes, all or none and in order.
    ///
    /// Gives, for each change, the roster's version that it made: nil for a change that made none (a request, the
    /// removal of what is not there, a user that does not exist).
    func apply(_ changes: [RosterChange], to user: BareJID) -> EventLoopFuture<[Int64?]> {
        let requests = changes.map { $0.requests(user) }
        return database.transaction(requests.flatMap { $0 }, on: user.lane).map { results in
            var next = 0
            return zip(changes, requests).map { change, own in
                defer { next += own.count }
                guard change.raisesVersion, results.indices.contains(next) else { return nil }
                return results[next].rows.first?.int(0)
            }
        }
    }

    /// Adds or replaces an item and gives the roster's new version; nil if there is no such user.
    func put(_ item: RosterItemRow, in user: BareJID) -> EventLoopFuture<Int64?> {
        apply([.put(item)], to: user).map { $0.first ?? nil }
    }

    /// Removes an item and gives the roster's new version; nil if there is no such item.
    func remove(_ contact: String, from user: BareJID) -> EventLoopFuture<Int64?> {
        apply([.remove(contact: contact)], to: user).map { $0.first ?? nil }
    }

    /// The subscription requests that wait for the user, oldest first.
    func requests(_ user: BareJID) -> EventLoopFuture<[SubscriptionRequestRow]> {
        database.rows(.loadSubscriptionRequests, for: user) { row in
            guard let contact = row.text(0), let stanza = row.bytes(1), let received = row.microseconds(2) else {
                return nil
            }
            return SubscriptionRequestRow(contact: contact, stanza: stanza, received: received)
        }
    }
}

extension RosterItemRow {
    /// Reads the columns contact, name, subscription, ask, approved, groups, version from the given column on.
    fileprivate init?(_ row: Row, from column: Int) {
        guard let contact = row.text(column), let subscription = row.text(column + 2),
            let ask = row.bool(column + 3), let approved = row.bool(column + 4),
            let groups = row.texts(column + 5), let version = row.int(column + 6)
        else { return nil }
        self.init(
            contact: contact,
            name: row.text(column + 1),
            subscription: subscription,
            ask: ask,
            approved: approved,
            groups: groups,
            version: version
        )
    }
}

extension RosterChange {
    fileprivate var raisesVersion: Bool {
        switch self {
        case .put, .remove: true
        case .putRequest, .removeRequest: false
        }
    }

    /// The first request gives the version, if there is one.
    fileprivate func requests(_ user: BareJID) -> [Request] {
        switch self {
        case .put(let item):
            let values: [DatabaseValue] = [
                .text(item.contact), .optional(item.name), .text(item.subscription), .bool(item.ask),
                .bool(item.approved), .texts(item.groups),
            ]
            return [Request(.putRosterItem, user.key + values)]
        case .remove(let contact):
            return [
                Request(.removeRosterItem, user.key + [.text(contact)]),
                Request(.pruneRosterTombstones, user.key + [.int(Int64(RosterStore.tombstones))]),
            ]
        case .putRequest(let request):
            let values: [DatabaseValue] = [
                .text(request.contact), .int(request.received), .buffer(request.stanza),
            ]
            return [Request(.putSubscriptionRequest, user.key + values)]
        case .removeRequest(let contact):
            return [Request(.removeSubscriptionRequest, user.key + [.text(contact)])]
        }
    }
}
