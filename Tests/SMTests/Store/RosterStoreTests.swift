// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

@Suite struct RosterStoreTests {
    private let user = StoreFixture.juliet

    private func item(_ contact: String, subscription: String = "both") -> RosterItemRow {
        RosterItemRow(
            contact: contact,
            name: "N\"\u{e4}me",
            subscription: subscription,
            ask: true,
            approved: false,
            groups: ["Friends", "{\"a\",b}"]
        )
    }

    @Test("An item comes back as it was put, with the version that put it")
    func put() async throws {
        let fixture = try await StoreFixture()
        let user = user
        var (first, second) = (item("a@example.org"), item("b@example.org"))
        second.name = nil
        (second.ask, second.approved, second.groups) = (false, true, [])
        let items = [first, second]
        for (index, item) in items.enumerated() {
            #expect(try await fixture.on { RosterStore(database: $0).put(item, in: user) } == Int64(index + 1))
        }
        (first.version, second.version) = (1, 2)
        let roster = try await fixture.on { RosterStore(database: $0).load(user) }
        #expect(roster.version == 2)
        #expect(roster.items.sorted { $0.version < $1.version } == [first, second])
        try await fixture.database.shutdown()
    }

    @Test("A roster that never changed is empty and has version 0")
    func empty() async throws {
        let fixture = try await StoreFixture()
        for user in [user, StoreFixture.nobody] {
            let roster = try await fixture.on { RosterStore(database: $0).load(user) }
            #expect(roster.version == 0 && roster.items.isEmpty)
        }
        let item = item("a@example.org")
        #expect(try await fixture.on { RosterStore(database: $0).put(item, in: StoreFixture.nobody) } == nil)
        try await fixture.database.shutdown()
    }

    @Test("A roster has an epoch for as long as its account lives, and every account another")
    func epochs() async throws {
        let fixture = try await StoreFixture()
        let epoch = { (user: BareJID) in try await fixture.on { RosterStore(database: $0).load(user) }.epoch }
        let first = try await epoch(user)
        #expect(first.utf8.count == 8)
        let (item, user) = (item("a@example.org"), user)
        _ = try await fixture.on { RosterStore(database: $0).put(item, in: user) }
        #expect(try await epoch(user) == first)
        #expect(try await epoch(StoreFixture.romeo) != first)
        _ = try await fixture.on { UserStore(database: $0).remove(user) }
        _ = try await fixture.on { UserStore(database: $0).create(user, credentials: []) }
        let second = try await epoch(user)
        #expect(second != first)
        // What a restore does.
        _ = try fixture.psql("UPDATE users SET roster_epoch = DEFAULT")
        #expect(try await epoch(user) != second)
        try await fixture.database.shutdown()
    }

    @Test("Changes since a version are replayed in order, removals too")
    func changes() async throws {
        let fixture = try await StoreFixture()
        let user = user
        var changed = item("a@example.org")
        changed.subscription = "from"
        let steps: [RosterChange] = [
            .put(item("a@example.org")), .put(item("b@example.org")), .put(item("c@example.org")),
            .remove(contact: "b@example.org"), .put(changed), .remove(contact: "x@example.org"),
        ]
        let versions = try await fixture.on { RosterStore(database: $0).apply(steps, to: user) }
        #expect(versions == [1, 2, 3, 4, 5, nil])
        let changes = try await fixture.on { RosterStore(database: $0).changes(of: user, since: 2) }
        #expect(changes?.version == 5)
        #expect(changes?.items.map(\.contact) == ["c@example.org", "a@example.org"])
        #expect(changes?.items.last?.subscription == "from")
        #expect(changes?.removed.map(\.contact) == ["b@example.org"])
        #expect(changes?.removed.map(\.version) == [4])
        let none = try await fixture.on { RosterStore(database: $0).changes(of: user, since: 5) }
        #expect(none == RosterChangesRow(version: 5, items: [], removed: []))
        #expect(try await fixture.on { RosterStore(database: $0).changes(of: user, since: 6) } == nil)
        #expect(try await fixture.on { RosterStore(database: $0).changes(of: user, since: -1) } == nil)
        try await fixture.database.shutdown()
    }

    @Test("A contact that is added again leaves no tombstone")
    func addedAgain() async throws {
        let fixture = try await StoreFixture()
        let user = user
        let item = item("a@example.org")
        let steps: [RosterChange] = [.put(item), .remove(contact: item.contact), .put(item)]
        _ = try await fixture.on { RosterStore(database: $0).apply(steps, to: user) }
        let changes = try await fixture.on { RosterStore(database: $0).changes(of: user, since: 0) }
        #expect(changes?.items.map(\.version) == [3])
        #expect(changes?.removed.isEmpty == true)
        try await fixture.database.shutdown()
    }

    @Test("Tombstones are bounded, and what they no longer tell makes a full roster necessary")
    func tombstones() async throws {
        let fixture = try await StoreFixture()
        let user = user
        let limit = RosterStore.tombstones
        let steps = (0..<(limit + 2)).flatMap { number in
            [RosterChange.put(item("\(number)@example.org")), .remove(contact: "\(number)@example.org")]
        }
        _ = try await fixture.on { RosterStore(database: $0).apply(steps, to: user) }
        #expect(try fixture.psql("SELECT count(*) FROM roster_tombstones") == "\(limit)")
        // The second tombstone that was dropped has version 4.
        #expect(try await fixture.on { RosterStore(database: $0).changes(of: user, since: 3) } == nil)
        let changes = try await fixture.on { RosterStore(database: $0).changes(of: user, since: 4) }
        #expect(changes?.removed.count == limit)
        try await fixture.database.shutdown()
    }

    @Test("Subscription requests wait with their bytes, the last of each contact")
    func requests() async throws {
        let fixture = try await StoreFixture()
        let user = user
        let rows = [("a@example.org", 1), ("b@example.org", 2), ("a@example.org", 3)].map { contact, received in
            let stanza = ByteBuffer(string: "<presence type='subscribe'>\(received)\0</presence>")
            return SubscriptionRequestRow(contact: contact, stanza: stanza, received: Int64(received))
        }
        _ = try await fixture.on { RosterStore(database: $0).apply(rows.map { .putRequest($0) }, to: user) }
        #expect(try await fixture.on { RosterStore(database: $0).requests(user) } == [rows[1], rows[2]])
        let change = RosterChange.removeRequest(contact: "b@example.org")
        #expect(try await fixture.on { RosterStore(database: $0).apply([change], to: user) } == [nil])
        #expect(try await fixture.on { RosterStore(database: $0).requests(user) } == [rows[2]])
        try await fixture.database.shutdown()
    }

    @Test("Changes take effect as a whole or not at all")
    func atomic() async throws {
        let fixture = try await StoreFixture()
        let user = user
        let steps: [RosterChange] = [.put(item("a@example.org")), .put(item("b@example.org", subscription: "wrong"))]
        let error = await failure { try await fixture.on { RosterStore(database: $0).apply(steps, to: user) } }
        #expect(error == .constraint(name: "roster_items_subscription_check", sqlstate: "23514"))
        let roster = try await fixture.on { RosterStore(database: $0).load(user) }
        #expect(roster.version == 0 && roster.items.isEmpty)
        try await fixture.database.shutdown()
    }
}
