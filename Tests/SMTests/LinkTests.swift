// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// What the SM does when C2S instances, components or the router come and go.
@Suite struct LinkTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    @Test("Every C2S is told the stream features of every domain, nobody else is")
    func features() {
        let other = World()
        other.connect("ctl-9.jackdaw.internal")
        let told = other.said.compactMap { said -> String? in
            guard case .features(let domain, let bytes) = said.message.content else { return nil }
            #expect(String(buffer: bytes).contains("urn:xmpp:features:rosterver"))
            return "\(said.instance) \(domain)"
        }
        #expect(told == ["\(World.c2s) localhost", "\(World.c2s) second.example"])
    }

    @Test("A C2S that is gone breaks its sessions: those without resumption end")
    func instanceGone() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        _ = TestClient.online(world, "bob@localhost")
        world.disconnect(World.c2s)
        #expect(world.server.sessions.count == 1)
        #expect(world.server.sessions[ann.name]?.isAttached == false)
        world.connect(World.c2s)
        ann.resume(h: UInt32(ann.last ?? 0))
        #expect(ann.attach == 2)
    }

    @Test("What carries an old attach number, or comes from another C2S, is dropped")
    func oldAttach() {
        let bob = TestClient.online(world, "bob@localhost")
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let old = ann.attach
        ann.detach()
        ann.resume(h: UInt32(ann.last ?? 0))
        guard let stanza = try? World.stanza("<message to='bob@localhost'><body>late</body></message>") else { return }
        let late = SessionMessage(session: ann.name, attach: old, .stanza(stanza, number: 50))
        world.server.received(late, from: World.c2s)
        let elsewhere = SessionMessage(session: ann.name, attach: ann.attach, .stanza(stanza, number: 50))
        world.server.received(elsewhere, from: "c2s-9.jackdaw.internal")
        #expect(bob.take().isEmpty)
    }

    @Test("A client that is gone before its user was loaded gets no session; one at another C2S does")
    func goneWhileOpening() {
        world.connect("c2s-2.jackdaw.internal")
        world.database.isSlow = true
        let ann = TestClient(world, "ann@localhost", resource: "one")
        let bob = TestClient(world, "bob@localhost", resource: "one", instance: "c2s-2.jackdaw.internal")
        world.disconnect(World.c2s)
        for _ in 0..<5 {
            world.database.answer()
            world.loop.run()
        }
        #expect(world.server.sessions[ann.name] == nil)
        #expect(world.server.sessions[bob.name] != nil)
    }

    @Test("At the limit of sessions a broken one gives way; without one the newer is refused")
    func sessionLimit() {
        let small = World(users: ["ann@localhost"]) { $0.sm.limits.sessionsPerUser = 2 }
        let one = TestClient.online(small, "ann@localhost", resource: "1", resume: true)
        let two = TestClient.online(small, "ann@localhost", resource: "2", resume: true)
        let refused = TestClient(small, "ann@localhost", resource: "3")
        _ = refused.take()
        #expect(refused.refusal?.condition == .resourceConstraint)
        one.detach()
        let three = TestClient.online(small, "ann@localhost", resource: "3")
        #expect(three.jid != nil)
        #expect(small.server.sessions[two.name] != nil)
        #expect(small.server.sessions.count == 2)
    }

    @Test("An IQ of the server's own is answered once, by whom it was sent to, or times out")
    func requests() throws {
        var answers: [Bool] = []
        let to = try JID("bot.example")
        world.server.request(.init("ping", Namespace.ping), from: "localhost", to: to) { answers.append($0 != nil) }
        let sent = try #require(world.takeOutside().first)
        let id = try #require(try World.stanza(sent).id)
        try world.fromOutside("<iq type='result' id='\(id)' from='other.example' to='localhost'/>")
        #expect(answers.isEmpty)
        try world.fromOutside("<iq type='result' id='\(id)' from='bot.example' to='localhost'/>")
        try world.fromOutside("<iq type='result' id='\(id)' from='bot.example' to='localhost'/>")
        #expect(answers == [true])
        world.server.request(.init("ping", Namespace.ping), from: "localhost", to: to) { answers.append($0 != nil) }
        world.advance(seconds: 31)
        #expect(answers == [true, false])
    }

    @Test("A user is noted as idle once, and forgotten a while after it was needed last")
    func idle() {
        let table = world.server.users
        let ann = TestClient.online(world, "ann@localhost")
        for number in 0..<500 {
            ann.send("<message to='bob@localhost' type='chat' id='\(number)'><body>x</body></message>")
        }
        #expect(table.idleCount == 1)
        world.advance(seconds: 25)
        ann.send("<message to='bob@localhost' type='chat'><body>x</body></message>")
        world.advance(seconds: 25)
        #expect(table[World.bare("bob@localhost")] != nil)
        world.advance(seconds: 10)
        #expect(table[World.bare("bob@localhost")] == nil)
        #expect(table.idleCount == 0)
    }
}
