// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// Stanzas for other servers, which S2S sends (`docs/protocols.md`, section 5).
@Suite struct FederationTests {
    private static let s2s1 = "s2s-1.jackdaw.internal"
    private static let s2s2 = "s2s-2.jackdaw.internal"

    private func world(
        _ instances: [String] = [s2s1],
        configure: (inout JackdawConfiguration) -> Void = { _ in }
    ) -> World {
        let world = World(users: ["ann@localhost", "bob@localhost"], configure: configure)
        for instance in instances { world.connect(instance) }
        world.loop.run()
        return world
    }

    private func chat(_ sender: TestClient, _ body: String, to: String = "eve@example.net") {
        sender.send("<message to='\(to)' type='chat' id='\(body)'><body>\(body)</body></message>")
    }

    /// What an S2S was handed since the last call, by token.
    private func handed(_ world: World, _ instance: String = s2s1) -> [(token: UInt64, text: String)] {
        world.loop.run()
        let mine = world.said.filter { $0.instance == instance }
        world.said.removeAll { $0.instance == instance }
        return mine.compactMap { said in
            guard case .handover(.forwarded(let forwarded)) = said.message.content else { return nil }
            return (forwarded.token, World.text(forwarded.stanza))
        }
    }

    private func answer(_ world: World, _ handover: SessionMessage.Handover, by instance: String = s2s1) {
        world.server.received(SessionMessage(.handover(handover)), from: instance)
        world.loop.run()
    }

    private func errors(_ client: TestClient) throws -> [StanzaError] {
        try client.stanzas().compactMap(\.stanzaError)
    }

    @Test("S2S is handed what is for other servers, and its sender's acknowledgement waits for it")
    func settled() {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        self.chat(ann, "one")
        let handed = self.handed(world)
        #expect(bodies(handed.map(\.text)) == ["one"])
        #expect(ann.takeSettled() == before && world.takeOutside().isEmpty)
        self.answer(world, .settled(handed.map(\.token)))
        #expect(ann.takeSettled() == before + 1 && world.server.forwarded.isEmpty)
    }

    @Test("No number of an earlier process is used again: an S2S may settle that one's stanzas still")
    func numbers() throws {
        let world = self.world()
        let started = UInt64(world.time)
        self.chat(TestClient.online(world, "ann@localhost", resume: true), "one")
        let handed = self.handed(world)
        #expect(try #require(handed.first).token > started)
        self.answer(world, .settled([1]))
        #expect(world.server.forwarded.count == 1)
    }

    @Test("After a second two processes have the stanza, and its sender waits no longer")
    func patience() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        self.chat(ann, "one")
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == before + 1 && !world.server.forwarded.isEmpty)
        _ = ann.take()
        // Its error comes all the same.
        let handed = self.handed(world)
        let stanza = try World.stanza(try #require(handed.first?.text))
        let error = try #require(stanza.error(StanzaError(.remoteServerTimeout, text: "it waited too long")))
        self.answer(world, .failed(token: handed[0].token, stanza: error))
        #expect(try self.errors(ann).map(\.text) == ["it waited too long"])
        #expect(world.server.forwarded.isEmpty)
    }

    @Test("What an S2S that is gone had not begun to send goes to another one; of the rest the sender is told")
    func lost() throws {
        let world = self.world([Self.s2s1, Self.s2s2])
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for body in ["one", "two"] { self.chat(ann, body) }
        let first = self.handed(world, Self.s2s1)
        let owner = first.isEmpty ? Self.s2s2 : Self.s2s1
        let other = first.isEmpty ? Self.s2s1 : Self.s2s2
        let handed = first.isEmpty ? self.handed(world, Self.s2s2) : first
        #expect(handed.count == 2)
        self.answer(world, .sent([handed[0].token]), by: owner)
        _ = ann.take()
        world.disconnect(owner)
        #expect(bodies(self.handed(world, other).map(\.text)) == ["two"])
        let told = try self.errors(ann)
        #expect(told.count == 1 && told[0].condition == .remoteServerTimeout)
        #expect(told[0].text?.contains("may have arrived") == true)
    }

    @Test("It is sent again instead where the operator wants that")
    func resend() throws {
        let world = self.world([Self.s2s1, Self.s2s2]) { $0.s2s.inDoubt = .resend }
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        self.chat(ann, "one")
        let first = self.handed(world, Self.s2s1)
        let owner = first.isEmpty ? Self.s2s2 : Self.s2s1
        let handed = first.isEmpty ? self.handed(world, Self.s2s2) : first
        self.answer(world, .sent(handed.map(\.token)), by: owner)
        _ = ann.take()
        world.disconnect(owner)
        #expect(bodies(self.handed(world, owner == Self.s2s1 ? Self.s2s2 : Self.s2s1).map(\.text)) == ["one"])
        #expect(try self.errors(ann).isEmpty)
    }

    @Test("What is sent again goes before what was written after it", arguments: [1, 2])
    func resentInOrder(instances: Int) throws {
        let all = [Self.s2s1, Self.s2s2]
        let world = self.world(Array(all.prefix(instances))) { $0.s2s.inDoubt = .resend }
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        for body in ["one", "two", "three"] { self.chat(ann, body) }
        let first = self.handed(world, Self.s2s1)
        let owner = first.isEmpty ? Self.s2s2 : Self.s2s1
        let handed = first.isEmpty ? self.handed(world, owner) : first
        self.answer(world, .sent(handed.prefix(2).map(\.token)), by: owner)
        _ = ann.take()
        world.disconnect(owner)
        self.chat(ann, "four")
        let next = instances == 1 || owner == Self.s2s2 ? Self.s2s1 : Self.s2s2
        if instances == 1 { world.connect(next) }
        let again = self.handed(world, next)
        #expect(bodies(again.map(\.text)) == ["one", "two", "three", "four"])
        #expect(try self.errors(ann).isEmpty)
        self.answer(world, .settled(again.map(\.token)), by: next)
        #expect(ann.takeSettled() == before + 4 && world.server.forwarded.isEmpty)
    }

    /// One S2S has something of eight pairs under way; with the second one some of them are to be that one's.
    private func worldWithPairsThatMove() -> (World, TestClient) {
        let world = self.world([Self.s2s1])
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for domain in 0..<8 { self.chat(ann, "a", to: "eve@d\(domain).example") }
        world.connect(Self.s2s2)
        for domain in 0..<8 { self.chat(ann, "b", to: "eve@d\(domain).example") }
        return (world, ann)
    }

    @Test("A pair goes to another S2S when the one that has stanzas of it has settled them, so that order holds")
    func pinned() {
        let (world, ann) = self.worldWithPairsThatMove()
        let handed = self.handed(world)
        #expect(handed.count >= 8 && self.handed(world, Self.s2s2).isEmpty)
        self.answer(world, .settled(handed.map(\.token)))
        let moved = self.handed(world, Self.s2s2)
        #expect(handed.count + moved.count == 16 && bodies(moved.map(\.text)).allSatisfy { $0 == "b" })
        self.answer(world, .settled(moved.map(\.token)), by: Self.s2s2)
        #expect(world.server.forwarded.isEmpty)
        // With nothing under way the pairs are spread.
        for domain in 0..<32 { self.chat(ann, "c", to: "eve@d\(domain).example") }
        let one = self.handed(world, Self.s2s1).count
        let two = self.handed(world, Self.s2s2).count
        #expect(one + two == 32 && one > 0 && two > 0)
    }

    @Test("What waits for another S2S does not wait for long where the other server is away")
    func heldNoLonger() {
        let (world, _) = self.worldWithPairsThatMove()
        let before = self.handed(world).count
        world.loop.advanceTime(by: .seconds(2))
        let after = self.handed(world).count
        #expect(before < 16 && before + after == 16)
    }

    @Test("What nobody can send waits for an S2S to come back, in order and with its senders")
    func awaited() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        self.chat(ann, "one")
        _ = self.handed(world)
        world.disconnect(Self.s2s1)
        self.chat(ann, "two")
        world.advance(seconds: 10)
        #expect(ann.takeSettled() == before && self.handed(world).isEmpty && world.takeOutside().isEmpty)
        #expect(try self.errors(ann).isEmpty)
        world.connect(Self.s2s1)
        self.chat(ann, "three")
        let handed = self.handed(world)
        #expect(bodies(handed.map(\.text)) == ["one", "two", "three"])
        self.answer(world, .settled(handed.map(\.token)))
        #expect(ann.takeSettled() == before + 3 && world.server.forwarded.isEmpty)
    }

    @Test("When none comes back in time, the senders are told, and what follows is the router's")
    func givenUp() throws {
        let world = self.world { $0.s2s.timeouts.queue = .seconds(60) }
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        world.disconnect(Self.s2s1)
        self.chat(ann, "one")
        world.advance(seconds: 59)
        _ = ann.take()
        world.advance(seconds: 2)
        #expect(try self.errors(ann).map(\.text) == ["federation is not running"])
        #expect(world.server.forwarded.isEmpty)
        self.chat(ann, "two")
        #expect(bodies(world.takeOutside()) == ["two"])
    }

    @Test("What comes before the first S2S does waits for it, where one is to be there")
    func atStart() throws {
        let world = self.world([])
        world.server.awaitFederation()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        self.chat(ann, "one")
        world.advance(seconds: 5)
        #expect(ann.takeSettled() == before && world.takeOutside().isEmpty)
        #expect(try self.errors(ann).isEmpty)
        // Whichever it is.
        world.connect(Self.s2s2)
        let handed = self.handed(world, Self.s2s2)
        #expect(bodies(handed.map(\.text)) == ["one"])
        self.answer(world, .settled(handed.map(\.token)), by: Self.s2s2)
        #expect(ann.takeSettled() == before + 1 && world.server.forwarded.isEmpty)
    }

    @Test("When none comes soon after the start, the senders are told; where none is to be there, nobody waits")
    func neverStarted() throws {
        let world = self.world([])
        world.server.awaitFederation()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        self.chat(ann, "one")
        world.advance(seconds: 29)
        #expect(try self.errors(ann).isEmpty)
        world.advance(seconds: 2)
        #expect(try self.errors(ann).map(\.text) == ["federation is not running"])
        self.chat(ann, "two")
        #expect(bodies(world.takeOutside()) == ["two"])
        let without = self.world([]) { $0.supervisor.s2s = 0 }
        without.server.awaitFederation()
        self.chat(TestClient.online(without, "ann@localhost"), "one")
        #expect(bodies(without.takeOutside()) == ["one"])
    }

    @Test("At an orderly stop senders who were told that nobody's stanza is settled get an error, which is kept")
    func stopped() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let before = ann.takeSettled()
        self.chat(ann, "one")
        _ = self.handed(world)
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == before + 1)
        world.disconnect(Self.s2s1)
        self.chat(ann, "two")
        _ = ann.take()
        _ = world.server.depart()
        world.loop.run()
        #expect(try self.errors(ann).map(\.text) == ["this server stopped before it could be sent"])
        // Ann has not acknowledged it.
        #expect(world.database.spool(World.bare("ann@localhost")).count == 1)
        // Her C2S gives the other one to our successor, and nobody sends it from here.
        #expect(ann.takeSettled() == before + 1 && world.server.forwarded.isEmpty)
        world.connect(Self.s2s1)
        #expect(self.handed(world).isEmpty)
    }

    @Test("At an orderly stop nobody waits for an S2S that has just gone")
    func stoppedAfterFederation() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for body in ["one", "two"] { self.chat(ann, body) }
        let handed = self.handed(world)
        world.advance(seconds: 2)
        self.answer(world, .sent([handed[0].token]))
        _ = ann.take()
        world.awayInstances = [Self.s2s1]
        _ = world.server.depart()
        world.loop.run()
        #expect(
            try self.errors(ann).map(\.text) == [
                "the link to example.net was lost; it may have arrived", "this server stopped before it could be sent",
            ]
        )
        #expect(world.database.spool(World.bare("ann@localhost")).count == 2 && world.server.forwarded.isEmpty)
    }

    @Test("At an orderly stop an S2S goes on with what it has")
    func stoppedBesideFederation() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        self.chat(ann, "one")
        _ = self.handed(world)
        world.advance(seconds: 2)
        _ = world.server.depart()
        world.loop.run()
        #expect(try self.errors(ann).isEmpty)
        #expect(world.database.spool(World.bare("ann@localhost")).isEmpty)
    }

    @Test("Without any S2S the router has the stanza; a component's domain is never S2S's")
    func plain() {
        let without = self.world([])
        self.chat(TestClient.online(without, "ann@localhost"), "one")
        #expect(bodies(without.takeOutside()) == ["one"])
        let world = self.world {
            $0.components = [JackdawConfiguration.Component()]
            $0.components[0].names = ["irc.localhost"]
        }
        self.chat(TestClient.online(world, "ann@localhost"), "one", to: "room@irc.localhost")
        #expect(bodies(world.takeOutside()) == ["one"] && self.handed(world).isEmpty)
    }

    @Test("What a peer sends reaches its user, and S2S learns when it is settled or why not")
    func incoming() throws {
        let world = self.world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        _ = ann.take()
        let forward = { (token: UInt64, to: String, from: String) in
            let text = "<message to='\(to)' from='\(from)' type='chat' id='m'><body>hi</body></message>"
            let forwarded = SessionMessage.Forwarded(
                token: token,
                epoch: 1,
                id: "stream-\(token)",
                received: world.time,
                isCounted: true,
                stanza: try World.stanza(text)
            )
            self.answer(world, .forwarded(forwarded))
        }
        try forward(1, "ann@localhost", "eve@example.net/x")
        #expect(bodies(ann.take()) == ["hi"])
        ann.acknowledge()
        world.loop.run()
        try forward(2, "nobody@localhost", "eve@example.net/x")
        // Nobody but a C2S speaks for our own users.
        try forward(3, "ann@localhost", "bob@localhost/x")
        #expect(ann.take().isEmpty)
        var settled: [UInt64] = []
        var failed: [UInt64] = []
        for said in world.said where said.instance == Self.s2s1 {
            switch said.message.content {
            case .handover(.settled(let tokens)): settled += tokens
            case .handover(.failed(let token, let stanza)):
                failed.append(token)
                #expect(stanza.stanzaError?.condition == .serviceUnavailable && stanza.to?.domain == "example.net")
            default: break
            }
        }
        #expect(settled == [1] || settled == [1, 2])
        #expect(failed == [2])
    }
}
