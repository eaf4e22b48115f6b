// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// When a message is settled for a sender that counts (XEP-0198).
@Suite struct CustodyTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    private var spool: [String] { bodies(world.database.spool(World.bare("bob@localhost"))) }

    private func chat(_ sender: TestClient, _ body: String, to: String = "bob@localhost") {
        sender.send("<message to='\(to)' type='chat' id='\(body)'><body>\(body)</body></message>")
    }

    @Test("A message is settled when its receiver has acknowledged it, and is then written nowhere")
    func acknowledged() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        #expect(bodies(bob.take()) == ["one"])
        #expect(ann.takeSettled() == 1)
        bob.acknowledge()
        #expect(ann.takeSettled() == 2)
        world.advance(seconds: 5)
        #expect(spool.isEmpty)
    }

    @Test("One that is not acknowledged within a second becomes a row, which goes with the acknowledgement")
    func unacknowledged() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        chat(ann, "two")
        world.advance(seconds: 2)
        #expect(spool == ["one", "two"])
        #expect(ann.takeSettled() == 3)
        #expect(bodies(bob.take()) == ["one", "two"])
        bob.acknowledge()
        #expect(spool.isEmpty)
        // Nothing is read from the spool that is in an outbox.
        bob.send("<presence><priority>1</priority></presence>")
        #expect(bodies(bob.take()).isEmpty)
    }

    @Test("While the database is away it waits, and is settled when the row is there")
    func databaseAway() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        world.database.isAway = true
        chat(ann, "one")
        world.advance(seconds: 60)
        #expect(ann.takeSettled() == 1)
        world.database.isAway = false
        world.advance(seconds: 3)
        #expect(ann.takeSettled() == 2)
        #expect(spool == ["one"])
        #expect(bodies(bob.take()) == ["one"])
    }

    @Test("An acknowledgement that comes while the row is written deletes it")
    func acknowledgedWhileWriting() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        world.database.isSlow = true
        chat(ann, "one")
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == 1)
        bob.acknowledge()
        #expect(ann.takeSettled() == 2)
        for _ in 0..<6 {
            world.database.answer()
            world.loop.run()
        }
        #expect(spool.isEmpty)
        #expect(world.server.users[World.bare("bob@localhost")]?.ledger.isEmpty == true)
    }

    @Test("A session that ends while the row is written leaves the message to the spool", arguments: [true, false])
    func endedWhileWriting(succeeds: Bool) {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        world.database.isSlow = true
        chat(ann, "one")
        world.advance(seconds: 2)
        bob.detach()
        world.advance(seconds: 700)
        world.database.isAway = !succeeds
        for _ in 0..<6 {
            world.database.answer()
            world.loop.run()
        }
        world.database.isAway = false
        world.database.isSlow = false
        world.advance(seconds: 30)
        #expect(spool == ["one"])
        #expect(ann.takeSettled() == 2)
        let again = TestClient.online(world, "bob@localhost", resource: "two", resume: true)
        #expect(bodies(again.take()) == [] || spool == ["one"])
    }

    @Test("A receiver without XEP-0198 acknowledges with its next stanza; a sender without it waits for nothing")
    func withoutCounting() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        #expect(ann.takeSettled() == 1)
        chat(bob, "two", to: "ann@localhost")
        #expect(ann.takeSettled() == 2)
        world.advance(seconds: 5)
        #expect(world.database.spool(World.bare("ann@localhost")).isEmpty)
    }

    @Test("What asks not to be stored holds its sender up for a second at most, and is in no row")
    func notStored() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        _ = TestClient.online(world, "bob@localhost", resume: true)
        ann.send(
            "<message to='bob@localhost' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>"
        )
        #expect(ann.takeSettled() == 1)
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == 2)
        #expect(spool.isEmpty)
    }

    @Test("The error of a message is kept like a message: a row, if its sender does not acknowledge it")
    func errors() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        chat(ann, "one", to: "nobody@localhost")
        #expect(ann.take().count == 1)
        #expect(ann.takeSettled() == 1)
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == 2)
        #expect(world.database.spool(World.bare("ann@localhost")).count == 1)
        ann.detach()
        world.advance(seconds: 700)
        let again = TestClient(world, "ann@localhost", resource: "two")
        again.send("<presence/>")
        #expect(again.take().contains { $0.contains("service-unavailable") })
        again.send("<presence/>")
        #expect(world.database.spool(World.bare("ann@localhost")).isEmpty)
    }
}
