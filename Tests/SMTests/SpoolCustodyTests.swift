// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// What becomes of rows and messages when the database is away, or the process stops.
@Suite struct SpoolCustodyTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])
    private let bobJID = World.bare("bob@localhost")

    private func chat(_ from: TestClient, _ text: String, _ more: String = "") {
        from.send("<message to='bob@localhost' type='chat'><body>\(text)</body>\(more)</message>")
    }

    /// bob has got a message that waited, and acknowledges it while the database is away.
    private func acknowledgeDuringOutage() {
        let ann = TestClient.online(world, "ann@localhost")
        chat(ann, "one")
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.enable()
        bob.send("<presence/>")
        #expect(bodies(bob.take()) == ["one"])
        world.database.isAway = true
        bob.acknowledge(UInt32(bob.last ?? 0))
        bob.close()
        #expect(world.database.spool(bobJID).count == 1)
    }

    @Test("A row whose deletion failed is deleted when the database is back, however long that takes")
    func deletedLater() {
        acknowledgeDuringOutage()
        world.advance(seconds: 60)
        world.database.isAway = false
        world.advance(seconds: 6)
        #expect(world.database.spool(bobJID).isEmpty)
        world.advance(seconds: 60)
        #expect(world.server.users[bobJID] == nil)
    }

    @Test("A user who comes back before the row is deleted does not get it again")
    func notAgain() {
        acknowledgeDuringOutage()
        world.advance(seconds: 60)
        world.database.isAway = false
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.send("<presence/>")
        #expect(bodies(bob.take()).isEmpty)
    }

    @Test("A row whose deletion failed is deleted when the process stops")
    func deletedAtStop() {
        acknowledgeDuringOutage()
        world.database.isAway = false
        _ = world.server.depart()
        world.loop.run()
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("At the stop more is written than the database takes at once, and what waited for the spool as well")
    func stop() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        for number in 0..<500 { chat(ann, "\(number)") }
        bob.detach()
        // Another session begins to read the spool, and what comes meanwhile waits for that.
        world.database.isSlow = true
        let other = TestClient(world, "bob@localhost", resource: "other")
        other.send("<presence/>")
        chat(ann, "waiting")
        #expect(world.server.users[bobJID]?.spool.waiting.count == 1)
        world.database.queueLength = 120
        let stopped = world.server.depart()
        var isStopped = false
        stopped.assumeIsolated().whenComplete { _ in isStopped = true }
        for _ in 0..<50 {
            world.database.answer()
            world.loop.advanceTime(by: .milliseconds(100))
        }
        #expect(isStopped)
        let spool = bodies(world.database.spool(bobJID))
        #expect(spool.count == 501)
        #expect(Set(spool).count == 501)
    }

    @Test("A stop while the database is away ends, and says what is lost")
    func stopDuringOutage() throws {
        let ann = TestClient.online(world, "ann@localhost")
        _ = TestClient.online(world, "bob@localhost", resume: true)
        for number in 0..<500 { chat(ann, "\(number)") }
        world.database.isAway = true
        var lost: Int?
        world.server.depart().assumeIsolated().whenSuccess { lost = $0.lost }
        world.loop.advanceTime(by: .seconds(1))
        #expect(lost == 500)
    }

    @Test("The spool and broken sessions give nothing of a sender who is blocked by now, and its rows go")
    func blocked() {
        world.add("spam@localhost")
        let ann = TestClient.online(world, "ann@localhost")
        let spam = TestClient.online(world, "spam@localhost")
        chat(spam, "spam 1")
        chat(ann, "one")
        let phone = TestClient(world, "bob@localhost", resource: "phone")
        phone.enable()
        phone.send("<presence/>")
        #expect(bodies(phone.take()).count == 2)
        chat(spam, "spam 2")
        chat(ann, "two")
        phone.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='spam@localhost'/></block></iq>")
        phone.detach()
        let laptop = TestClient(world, "bob@localhost", resource: "laptop")
        laptop.send("<presence/>")
        #expect(bodies(laptop.take()) == ["one", "two"])
        laptop.close()
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("A row of a sender who was blocked since is deleted at the next login")
    func blockedRow() {
        world.add("spam@localhost")
        let spam = TestClient.online(world, "spam@localhost")
        chat(spam, "spam")
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='localhost'/></block></iq>")
        bob.send("<presence/>")
        #expect(bodies(bob.take()).isEmpty)
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test(
        "What asks not to be stored, or is of the moment, is not stored when it loses its session",
        arguments: [
            ("<no-store xmlns='urn:xmpp:hints'/>", 0), ("", 1),
        ]
    )
    func hints(more: String, rows: Int) {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one", more)
        #expect(bodies(bob.take()) == ["one"])
        bob.detach()
        #expect(world.database.spool(bobJID).count == rows)
    }

    @Test("Likewise when the process stops")
    func hintsAtStop() {
        let ann = TestClient.online(world, "ann@localhost")
        _ = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one", "<no-store xmlns='urn:xmpp:hints'/>")
        ann.send(
            "<message to='bob@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        )
        chat(ann, "two")
        _ = world.server.depart()
        world.loop.run()
        #expect(bodies(world.database.spool(bobJID)) == ["two"])
    }

    @Test("What is not stored reaches a client that is still busy with what waited")
    func notStoredWhilePaused() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let large = String(repeating: "x", count: 400_000)
        for _ in 0..<5 { chat(ann, large) }
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.enable()
        bob.send("<presence/>")
        #expect(bodies(bob.take()).count < 5)
        chat(ann, "call", "<no-store xmlns='urn:xmpp:hints'/>")
        #expect(world.database.spool(bobJID).count == 5)
        #expect(bodies(bob.take()) == ["call"])
    }
}
