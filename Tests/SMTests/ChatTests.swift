// SPDX-License-Identifier: Apache-2.0

import Config
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

@Suite struct ChatTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    @Test("A message goes to the other's session, from the full JID, with a stable id of the receiver's account")
    func chat() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        ann.send("<message to='bob@localhost' type='chat' id='m1'><body>hello</body></message>")
        let stanzas = try bob.stanzas()
        let message = try #require(stanzas.first)
        #expect(stanzas.count == 1)
        #expect(message.from?.description == "ann@localhost/one")
        #expect(message.id == "m1")
        let stable = try #require(try message.payloadElement("stanza-id", Namespace.stanzaIDs))
        #expect(stable["by"] == "bob@localhost")
        #expect(ann.take().isEmpty)
    }

    @Test("A forged stable id is taken out, an origin-id and ids by others stay")
    func forged() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        ann.send(
            """
            <message to='bob@localhost' type='chat'><body>x</body>\
            <stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='forged'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' by='room@muc.example' id='theirs'/>\
            <origin-id xmlns='urn:xmpp:sid:0' id='origin'/></message>
            """
        )
        let message = try #require(bob.take().first)
        #expect(!message.contains("forged"))
        #expect(message.contains("theirs"))
        #expect(message.contains("origin"))
    }

    /// XEP-0359 §4: also where the account adds no id of its own.
    @Test("A forged stable id is taken out of messages of every type", arguments: ["groupchat", "error", "headline"])
    func forgedInEveryType(type: String) throws {
        let bob = TestClient.online(world, "bob@localhost")
        try world.fromOutside(
            """
            <message from='room@muc.example/nick' to='bob@localhost/one' type='\(type)'><body>x</body>\
            <stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='forged'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' by='room@muc.example' id='theirs'/></message>
            """
        )
        let message = try #require(bob.take().first)
        #expect(!message.contains("forged"))
        #expect(message.contains("theirs"))
        #expect(message.contains("by='bob@localhost'") == (type == "headline"))
    }

    /// XEP-0203 §5.
    @Test("A forged delay by one of our domains is taken out, also in an offline message, which gets its own")
    func forgedDelay() throws {
        world.add("carol@localhost")
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        let stamps = """
            <delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'/>\
            <x:delay xmlns:x='urn:xmpp:dela&#121;' from='Second.EXAMPLE' stamp='2002-01-01T00:00:00Z'/>\
            <delay xmlns='urn:xmpp:delay' from='room@muc.example' stamp='2003-01-01T00:00:00Z'/>\
            <delay xmlns='urn:example:other' from='localhost' stamp='2004-01-01T00:00:00Z'/>
            """
        for user in ["bob", "carol"] {
            ann.send("<message to='\(user)@localhost' type='chat'><body>delay</body>\(stamps)</message>")
        }
        let carol = TestClient(world, "carol@localhost", resource: "one")
        carol.send("<presence/>")
        let received = try #require(try bob.stanzas().first).payloadElements().filter { $0.name == "delay" }
        #expect(received.map { $0["from"] } == ["room@muc.example", "localhost"])
        #expect(received.map(\.namespace) == [Namespace.delay, "urn:example:other"])
        let stored = try #require(try carol.stanzas().first { $0.kind == .message }).payloadElements()
        let ours = stored.filter { $0.name == "delay" && $0.namespace == Namespace.delay && $0["from"] == "localhost" }
        #expect(ours.count == 1)
        #expect(ours.first?["stamp"]?.hasPrefix("2023-11-14T22:13:20") == true)
    }

    @Test("A message for someone away waits, with the time of its arrival, and its row goes when it is acknowledged")
    func offline() throws {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<message to='bob@localhost' type='chat'><body>later</body></message>")
        #expect(world.database.spool(World.bare("bob@localhost")).count == 1)
        world.advance(seconds: 60)
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.send("<presence/>")
        let stanzas = try bob.stanzas().filter { $0.kind == .message }
        let delay = try #require(try stanzas.first?.payloadElement("delay", Namespace.delay))
        #expect(delay["from"] == "localhost")
        #expect(delay["stamp"]?.hasPrefix("2023-11-14T22:13:20") == true)
        #expect(world.database.spool(World.bare("bob@localhost")).count == 1)
        bob.send("<presence/>")
        #expect(world.database.spool(World.bare("bob@localhost")).isEmpty)
    }

    @Test("What an edge lets through waits, however deep it is nested")
    func deep() throws {
        let tags = (String(repeating: "<a xmlns='urn:x'>", count: 900), String(repeating: "</a>", count: 900))
        try world.fromOutside(
            "<message from='bot@gate.example' to='bob@localhost' type='chat' id='d'>\(tags.0)\(tags.1)</message>"
        )
        #expect(world.database.spool(World.bare("bob@localhost")).count == 1)
        #expect(world.takeOutside().isEmpty)
    }

    @Test("What cannot be looked into for its size waits, and is not dropped")
    func unreadable() {
        let ann = TestClient.online(world, "ann@localhost")
        let filler = String(repeating: "<a/>", count: 66_000)
        ann.send("<message to='bob@localhost' type='chat' id='m'><body>hello</body>\(filler)</message>")
        #expect(world.database.spool(World.bare("bob@localhost")).count == 1)
        #expect(ann.take().isEmpty)
    }

    @Test("Past the quota the sender gets resource-constraint, never silence")
    func quota() throws {
        let small = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.limits.offlineMessages = 2 }
        let ann = TestClient.online(small, "ann@localhost")
        for number in 1...3 {
            ann.send("<message to='bob@localhost' type='chat' id='m\(number)'><body>\(number)</body></message>")
        }
        let answers = try ann.stanzas()
        #expect(answers.count == 1)
        #expect(answers.first?.id == "m3")
        #expect(answers.first?.stanzaError?.condition == .resourceConstraint)
        #expect(answers.first?.stanzaError?.type == .wait)
    }

    @Test("While the database is away online users chat on; a message for someone away waits if its sender counts")
    func databaseAway() throws {
        world.add("carol@localhost")
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        world.database.isAway = true
        ann.send("<message to='bob@localhost' type='chat'><body>live</body></message>")
        #expect(bodies(bob.take()) == ["live"])
        ann.send("<message to='carol@localhost' type='chat' id='c'><body>one</body></message>")
        ann.send("<message to='carol@localhost' type='chat' id='d'><body>two</body></message>")
        bob.send("<message to='carol@localhost' type='chat' id='e'><body>refused</body></message>")
        #expect(try ann.stanzas().isEmpty)
        let error = try #require(try bob.stanzas().first)
        #expect(error.id == "e")
        #expect(error.stanzaError?.type == .wait)
        #expect(ann.takeSettled() == 2)
        world.advance(seconds: 60)
        #expect(ann.takeSettled() == 2)
        world.database.isAway = false
        world.advance(seconds: 2)
        #expect(ann.takeSettled() == 4)
        #expect(bodies(world.database.spool(World.bare("carol@localhost"))) == ["one", "two"])
    }

    @Test("A stanza that waits for its commit is not settled, and later ones do not overtake it in the count")
    func custody() {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        world.add("carol@localhost")
        world.database.isSlow = true
        ann.send("<message to='carol@localhost' type='chat'><body>kept</body></message>")
        ann.send("<message to='bob@localhost' type='chat'><body>live</body></message>")
        #expect(bodies(bob.take()) == ["live"])
        #expect(ann.takeSettled() == 1)
        for _ in 0..<6 { world.database.answer() }
        world.loop.run()
        #expect(ann.takeSettled() == 2)
        bob.send("<presence/>")
        #expect(ann.takeSettled() == 3)
    }
}
