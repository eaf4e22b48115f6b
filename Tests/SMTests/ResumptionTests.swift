// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// XEP-0198, and who gets what a broken session did not acknowledge.
@Suite struct ResumptionTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])
    private let bobJID = World.bare("bob@localhost")

    private func chat(_ from: TestClient, _ text: String, to: String = "bob@localhost") {
        from.send("<message to='\(to)' type='chat'><body>\(text)</body></message>")
    }

    @Test("A resumed session gets what it did not acknowledge, in order, and then what was spooled meanwhile")
    func resumes() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        chat(ann, "two")
        #expect(bodies(bob.take()) == ["one", "two"])
        let counted = UInt32(bob.last ?? 0)
        bob.detach()
        chat(ann, "three")
        #expect(world.database.spool(bobJID).count == 1)
        bob.resume(h: counted - 1)
        #expect(bob.attach == 2)
        #expect(bodies(bob.take()) == ["two", "three"])
        bob.acknowledge(UInt32(bob.last ?? 0))
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("Stanzas from before <enable/> may be unsettled at a resumption: none is lost, and none is counted twice")
    func resumesBeforeSettlement() {
        let ann = TestClient.online(world, "ann@localhost")
        world.database.isSlow = true
        chat(ann, "one")
        ann.enable()
        chat(ann, "two")
        ann.detach()
        ann.resume(h: 0)
        // Number 1 was the presence and 2 the first message: `h` is 0, and the client sends again from 3 on.
        #expect(ann.resumedAt == 0)
        #expect(ann.sent == 2)
        chat(ann, "two")
        chat(ann, "three")
        world.database.isSlow = false
        for _ in 0..<5 {
            world.database.answer()
            world.loop.run()
        }
        #expect(bodies(world.database.spool(bobJID)) == ["one", "two", "three"])
        #expect(ann.takeSettled() == 4)
    }

    @Test("A connection whose session is resumed elsewhere is told why it ends")
    func conflict() {
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        let old = bob.name
        bob.resume(h: UInt32(bob.last ?? 0))
        #expect(bob.resumeFailed == nil)
        #expect(bob.takeEnd()?.condition == .conflict)
        #expect(bob.name == old && bob.attach == 2)
    }

    private func resume(_ client: TestClient, h: UInt32, as name: String) {
        let request = SessionMessage.Resume(user: bobJID, token: client.token ?? "", h: h, address: "", tls: "")
        world.server.received(SessionMessage(session: name, attach: 1, .resume(request)), from: World.c2s)
    }

    @Test("A C2S that asks again, as each new map makes it do, does not take the session from its own connection")
    func askedAgain() {
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        let h = UInt32(bob.last ?? 0)
        bob.detach()
        let name = world.name()
        for _ in 0..<2 { resume(bob, h: h, as: name) }
        let answers = world.take(session: name)
        #expect(answers.count == 1)
        guard case .resumed(let resumed)? = answers.first?.content else {
            Issue.record("not resumed")
            return
        }
        #expect(resumed.attach == 2)
        #expect(bob.takeEnd() == nil)
    }

    @Test("The C2S of a resumed session learns which messages its client has got before, for the session's next owner")
    func tellsWhatWasAcknowledged() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        #expect(bodies(bob.take()) == ["one"])
        bob.detach()
        let name = world.name()
        resume(bob, h: UInt32(bob.last ?? 0), as: name)
        guard case .resumed(let resumed)? = world.take(session: name).first?.content else {
            Issue.record("not resumed")
            return
        }
        #expect(resumed.lately.count == 1)
    }

    @Test("Contacts see nothing of a connection that breaks and comes back")
    func quiet() {
        let other = TestClient.online(world, "bob@localhost", resource: "other")
        let bob = TestClient.online(world, "bob@localhost", resource: "one", resume: true)
        _ = other.take()
        bob.detach()
        bob.resume(h: UInt32(bob.last ?? 0))
        #expect(other.take().isEmpty)
        bob.detach()
        world.advance(seconds: 601)
        #expect(other.take().filter { $0.contains("unavailable") }.count == 1)
    }

    @Test("A new session takes over at once what broken ones did not acknowledge, with the same stable ids")
    func takenOver() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let phone = TestClient.online(world, "bob@localhost", resource: "phone", resume: true)
        chat(ann, "one")
        let first = try #require(try phone.stanzas().last)
        let id = try #require(try first.payloadElement("stanza-id", Namespace.stanzaIDs))["id"]
        phone.detach()
        chat(ann, "two")
        let laptop = TestClient(world, "bob@localhost", resource: "laptop")
        laptop.send("<presence/>")
        let messages = try laptop.stanzas().filter { $0.kind == .message }
        #expect(bodies(messages.map(World.text)) == ["one", "two"])
        let again = try #require(try messages.first?.payloadElement("stanza-id", Namespace.stanzaIDs))["id"]
        #expect(again == id)
        #expect(try messages.first?.payloadElement("delay", Namespace.delay) != nil)
        phone.resume(h: 0)
        #expect(phone.resumeFailed == .some(.some(1)))
    }

    @Test("A broken session without unacknowledged messages can be resumed beside a new one")
    func notTakenOver() {
        let phone = TestClient.online(world, "bob@localhost", resource: "phone", resume: true)
        phone.acknowledge(UInt32(phone.last ?? 0))
        phone.detach()
        let laptop = TestClient.online(world, "bob@localhost", resource: "laptop")
        phone.resume(h: UInt32(phone.last ?? 0))
        #expect(phone.resumeFailed == nil)
        #expect(laptop.takeEnd() == nil)
    }

    @Test("When the resumption time is over, what is unacknowledged goes to the spool")
    func expires() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        _ = bob.take()
        bob.detach()
        #expect(world.database.spool(bobJID).isEmpty)
        world.advance(seconds: 601)
        #expect(world.database.spool(bobJID).count == 1)
        #expect(world.server.sessions.count == 1)
    }

    @Test("A session without resumption ends with its connection, and its message waits with the first one's id")
    func withoutResumption() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        _ = bob.take()
        bob.detach()
        #expect(world.database.spool(bobJID).count == 1)
        #expect(world.server.sessions.count == 1)
    }

    @Test("A clean close acknowledges what a client without XEP-0198 got")
    func cleanClose() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        _ = bob.take()
        bob.close()
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("The token counts for its own user only, and a wrong h ends the session")
    func wrongToken() {
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        bob.detach()
        ann.detach()
        world.server.resume(
            .init(user: World.bare("ann@localhost"), token: bob.token ?? "", h: 0, address: "", tls: ""),
            name: "thief",
            at: World.c2s
        )
        let answers = world.take(session: "thief")
        #expect(answers.count == 1)
        guard case .resumeFailed(h: nil) = answers.first?.content else {
            Issue.record("not refused")
            return
        }
        bob.resume(h: 1_000)
        #expect(bob.resumeFailed != nil)
    }

    @Test("A duplicate after the resumption is not delivered twice and is reported as settled")
    func duplicates() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        #expect(ann.takeSettled() == 1)
        let again = "<message to='bob@localhost' type='chat'><body>one</body></message>"
        if let stanza = try? World.stanza(again) { ann.say(.stanza(stanza, number: 2)) }
        #expect(bodies(bob.take()) == ["one"])
        #expect(ann.takeSettled() == 1)
        bob.send("<presence/>")
        #expect(ann.takeSettled() == 2)
        if let stanza = try? World.stanza(again) { ann.say(.stanza(stanza, number: 2)) }
        #expect(bodies(bob.take()) == [])
        #expect(ann.takeSettled() == 2)
    }

    @Test("A C2S that is gone, or back with another epoch, leaves broken sessions")
    func lostInstance() {
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        world.connect(World.c2s, epoch: "e2")
        #expect(world.server.sessions.values.allSatisfy { !$0.isAttached })
        world.connect("c2s-2.jackdaw.internal")
        bob.resume(h: UInt32(bob.last ?? 0), at: "c2s-2.jackdaw.internal")
        #expect(bob.attach == 2)
        #expect(world.server.sessions[bob.name]?.instance == "c2s-2.jackdaw.internal")
    }

    @Test("Two resources with the same priority get a copy each; what one acknowledged is not inherited")
    func copies() {
        let ann = TestClient.online(world, "ann@localhost")
        let one = TestClient.online(world, "bob@localhost", resource: "one", resume: true)
        let two = TestClient.online(world, "bob@localhost", resource: "two", resume: true)
        chat(ann, "both")
        #expect(bodies(one.take()) == ["both"])
        #expect(bodies(two.take()) == ["both"])
        two.acknowledge(UInt32(two.last ?? 0))
        one.detach()
        world.advance(seconds: 601)
        #expect(world.database.spool(bobJID).isEmpty)
        #expect(bodies(two.take()).isEmpty)
    }

    @Test("A session that acknowledges nothing ends at its bound and its messages wait")
    func overflow() {
        let small = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.limits.unacknowledgedStanzas = 5 }
        let ann = TestClient.online(small, "ann@localhost")
        let bob = TestClient.online(small, "bob@localhost", resume: true)
        for number in 1...8 { chat(ann, "\(number)") }
        #expect(bob.takeEnd()?.condition == .resourceConstraint)
        #expect(small.database.spool(bobJID).count == 8)
    }

    @Test("Where nothing waits for those away, the sender of a message that lost its session learns so")
    func withoutSpool() throws {
        let strict = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.disabledModules = [.offline] }
        let ann = TestClient.online(strict, "ann@localhost")
        let bob = TestClient.online(strict, "bob@localhost")
        chat(ann, "one")
        _ = bob.take()
        bob.detach()
        #expect(try ann.stanzas().first?.stanzaError?.condition == .serviceUnavailable)
        chat(ann, "two")
        #expect(try ann.stanzas().first?.stanzaError?.condition == .serviceUnavailable)
        #expect(strict.database.spool(bobJID).isEmpty)
    }

    @Test("At the stop of the process, unacknowledged messages are written")
    func shutdown() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "one")
        _ = bob.take()
        _ = world.server.depart()
        #expect(world.database.spool(bobJID).count == 1)
    }

    @Test("A message that loses its session while the database is away is kept in memory until it is back")
    func homeless() {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        _ = bob.take()
        world.database.isAway = true
        bob.detach()
        world.advance(seconds: 40)
        #expect(world.database.spool(bobJID).isEmpty)
        world.database.isAway = false
        world.advance(seconds: 10)
        #expect(world.database.spool(bobJID).count == 1)
    }

    @Test("What could not be written while the database was away does not overtake older messages that have rows")
    func keepsOrderAfterOutage() {
        let ann = TestClient.online(world, "ann@localhost")
        chat(ann, "zero")
        let bob = TestClient.online(world, "bob@localhost")
        chat(ann, "one")
        #expect(bodies(bob.take()) == ["one"])
        world.database.isAway = true
        bob.detach()
        let again = TestClient.online(world, "bob@localhost")
        #expect(bodies(again.take()).isEmpty)
        world.database.isAway = false
        world.advance(seconds: 10)
        #expect(bodies(again.take()) == ["zero", "one"])
    }
}
