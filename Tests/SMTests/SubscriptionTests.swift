// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// RFC 6121 §3 between two local users; the state tables have tests of their own.
@Suite struct SubscriptionTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    /// Logged in, asked for the roster, available.
    private func login(_ user: String, resource: String = "one") -> TestClient {
        let client = TestClient(world, user, resource: resource)
        client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        client.send("<presence/>")
        _ = client.take()
        return client
    }

    private func subscription(of user: String, with contact: String) -> String? {
        world.database.accounts[World.bare(user)]?.items[contact]?.subscription
    }

    /// Both ways.
    private func befriend(_ ann: TestClient, _ bob: TestClient) {
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        bob.send("<presence to='ann@localhost' type='subscribed'/>")
        bob.send("<presence to='ann@localhost' type='subscribe'/>")
        ann.send("<presence to='bob@localhost' type='subscribed'/>")
        _ = ann.take()
        _ = bob.take()
    }

    @Test("A request whose refusal is still being written is not told at the next login")
    func refusalUnderWay() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        world.database.isSlow = true
        bob.send("<presence to='ann@localhost' type='unsubscribed'/>")
        bob.close()
        let again = TestClient(world, "bob@localhost")
        again.send("<presence/>")
        #expect(!again.take().contains { $0.contains("type='subscribe'") })
        world.database.isSlow = false
        world.database.answer()
        world.loop.run()
        #expect(!again.take().contains { $0.contains("type='subscribe'") })
    }

    @Test("A request, its approval, and the presence that follows, in the order of §3.1")
    func subscribe() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        ann.send("<presence to='bob@localhost/any' type='subscribe' id='s1'/>")
        let push = try #require(ann.take().first)
        #expect(push.contains("ask='subscribe'") && push.contains("subscription='none'"))
        let request = try #require(try bob.stanzas().first)
        #expect(request.type == "subscribe")
        #expect(request.from?.description == "ann@localhost")
        bob.send("<presence to='ann@localhost' type='subscribed'/>")
        #expect(bob.take().first?.contains("subscription='from'") == true)
        let answers = try ann.stanzas()
        #expect(answers.map(\.type) == ["subscribed", "set", nil])
        #expect(answers.last?.from?.description == "bob@localhost/one")
        #expect(subscription(of: "ann@localhost", with: "bob@localhost") == "to")
        #expect(subscription(of: "bob@localhost", with: "ann@localhost") == "from")
    }

    @Test("Presence waits until the approval before it is written, also where that takes its time")
    func presenceFollowsTheApproval() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        _ = ann.take()
        world.database.isSlow = true
        bob.send("<presence to='ann@localhost' type='subscribed'/>")
        // The write of bob's side is answered; then that of ann's is under way.
        world.database.answer()
        world.loop.run()
        bob.send("<presence><show>away</show></presence>")
        #expect(ann.take().isEmpty)
        world.database.isSlow = false
        world.database.answer()
        world.loop.run()
        #expect(try ann.stanzas().map(\.type) == ["subscribed", "set", nil, nil])
    }

    @Test("A request waits for someone away and is told at each login until it is answered")
    func requestWaits() throws {
        let ann = login("ann@localhost")
        ann.send("<presence to='bob@localhost' type='subscribe'><status>please</status></presence>")
        for _ in 0..<2 {
            let bob = TestClient(world, "bob@localhost", resource: "one")
            bob.send("<presence/>")
            let requests = bob.take().filter { $0.contains("subscribe") }
            #expect(requests.count == 1)
            #expect(requests.first?.contains("please") == true)
            bob.close()
        }
        let bob = login("bob@localhost")
        bob.send("<presence to='ann@localhost' type='unsubscribed'/>")
        bob.close()
        let again = TestClient(world, "bob@localhost", resource: "one")
        again.send("<presence/>")
        #expect(again.take().filter { $0.contains("subscribe") }.isEmpty)
    }

    @Test("Of a large request only the bare question is kept and told")
    func largeRequest() throws {
        let status = String(repeating: "x", count: 100_000)
        for id in ["", "id='\(String(repeating: "i", count: 20_000))'"] {
            try world.fromOutside(
                "<presence \(id) from='c\(id.count)@far.example/x' to='bob@localhost' type='subscribe'>"
                    + "<status>\(id.isEmpty ? status : "short")</status></presence>"
            )
        }
        let rows = world.database.accounts[World.bare("bob@localhost")]?.requests.values.map { $0 } ?? []
        #expect(rows.count == 2)
        #expect(rows.allSatisfy { $0.stanza.readableBytes < 1_000 })
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.send("<presence/>")
        let requests = try bob.stanzas().filter { $0.type == "subscribe" }
        #expect(requests.count == 2)
        #expect(requests.allSatisfy { $0.from?.domain == "far.example" && $0.payload.readableBytes == 0 })
    }

    @Test("Requests that wait have a bound in bytes: beyond it who asks is told to wait")
    func manyRequests() throws {
        let status = String(repeating: "x", count: 3_000)
        for number in 0..<500 {
            try world.fromOutside(
                "<presence from='c\(number)@far.example' to='bob@localhost' type='subscribe'>"
                    + "<status>\(status)</status></presence>"
            )
        }
        let rows = world.database.accounts[World.bare("bob@localhost")]?.requests ?? [:]
        #expect(rows.values.reduce(0) { $0 + $1.stanza.readableBytes } <= 1 << 20)
        let errors = try world.takeOutside().map { try World.stanza($0).stanzaError }
        #expect(errors.count == 500 - rows.count)
        #expect(errors.allSatisfy { $0?.condition == .resourceConstraint && $0?.type == .wait })
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.send("<presence/>")
        var told = try bob.stanzas()
        // They are more than a client gets before it gives a sign of life.
        let ping = try #require(told.first { $0.kind == .iq }?.id)
        bob.send("<iq type='result' to='localhost' id='\(ping)'/>")
        told += try bob.stanzas()
        #expect(told.count { $0.type == "subscribe" } == rows.count)
        bob.send("<presence to='c1@far.example' type='unsubscribed'/>")
        bob.send("<presence to='c2@far.example' type='unsubscribed'/>")
        try world.fromOutside("<presence from='new@far.example' to='bob@localhost' type='subscribe'/>")
        #expect(try bob.stanzas().contains { $0.from?.local == "new" })
    }

    @Test("A request that waits shows in no roster")
    func noItem() {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        bob.send("<iq type='get' id='r2'><query xmlns='jabber:iq:roster'/></iq>")
        #expect(bob.take().contains { $0.contains("id='r2'") && !$0.contains("<item") })
    }

    @Test("A pre-approved request is answered by the server")
    func preApproval() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        bob.send("<presence to='ann@localhost' type='subscribed'/>")
        #expect(bob.take().contains { $0.contains("approved='true'") })
        #expect(ann.take().isEmpty)
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        #expect(try ann.stanzas().contains { $0.type == "subscribed" })
        #expect(!bob.take().contains { $0.contains("type='subscribe'") })
        #expect(subscription(of: "ann@localhost", with: "bob@localhost") == "to")
    }

    @Test("An item that is removed ends both subscriptions, and both see the other leave")
    func removal() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        befriend(ann, bob)
        #expect(subscription(of: "ann@localhost", with: "bob@localhost") == "both")
        ann.send(
            "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
                + "<item jid='bob@localhost' subscription='remove'/></query></iq>"
        )
        let mine = ann.take()
        #expect(mine.contains { $0.contains("subscription='remove'") })
        #expect(mine.contains { $0.contains("type='result'") && $0.contains("id='x'") })
        let theirs = try bob.stanzas()
        #expect(theirs.contains { $0.type == "unsubscribe" })
        #expect(theirs.contains { $0.type == "unsubscribed" })
        #expect(theirs.contains { $0.type == "unavailable" && $0.from?.description == "ann@localhost/one" })
        #expect(subscription(of: "ann@localhost", with: "bob@localhost") == nil)
        #expect(subscription(of: "bob@localhost", with: "ann@localhost") == "none")
    }

    @Test("While the database is away a subscription stanza gets a wait error and nothing changes")
    func databaseAway() throws {
        let ann = login("ann@localhost")
        world.database.isAway = true
        ann.send("<presence to='bob@localhost' type='subscribe' id='s1'/>")
        let error = try #require(try ann.stanzas().first)
        #expect(error.stanzaError?.type == .wait)
        world.database.isAway = false
        ann.send("<iq type='get' id='r2'><query xmlns='jabber:iq:roster'/></iq>")
        #expect(ann.take().contains { !$0.contains("<item") })
    }

    @Test("Removing an account cancels its subscriptions and ends its sessions")
    func accountRemoval() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        befriend(ann, bob)
        _ = world.server.accounts?.remove(World.bare("ann@localhost"))
        world.loop.run()
        #expect(ann.takeEnd()?.condition == .notAuthorized)
        #expect(world.database.accounts[World.bare("ann@localhost")] == nil)
        #expect(subscription(of: "bob@localhost", with: "ann@localhost") == "none")
        #expect(try bob.stanzas().contains { $0.type == "unavailable" })
    }

    @Test("A request of somebody who is blocked by now is not told")
    func blockedRequest() throws {
        let ann = login("ann@localhost")
        let bob = login("bob@localhost")
        ann.send("<presence to='bob@localhost' type='subscribe'/>")
        _ = bob.take()
        bob.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='ann@localhost'/></block></iq>")
        bob.close()
        let again = TestClient(world, "bob@localhost", resource: "one")
        again.send("<presence/>")
        #expect(!again.take().contains { $0.contains("type='subscribe'") })
    }

    @Test("A removal whose answer was lost is completed by the next try")
    func lostRemoval() throws {
        let bob = login("bob@localhost")
        world.database.losesRemovals = true
        var failures: [AccountError] = []
        let remove = { (world: World) in
            world.server.accounts?.remove(World.bare("bob@localhost")).assumeIsolated().whenFailure { error in
                if let error = error as? AccountError { failures.append(error) }
            }
            world.loop.run()
        }
        remove(world)
        #expect(failures == [.databaseAway])
        #expect(bob.takeEnd() == nil)
        world.database.losesRemovals = false
        remove(world)
        #expect(failures.count == 1)
        #expect(bob.takeEnd()?.condition == .notAuthorized)
        #expect(world.server.users[World.bare("bob@localhost")] == nil)
        remove(world)
        #expect(failures == [.databaseAway, .notFound])
    }
}
