// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

@Suite struct RoutingTests {
    private let world = World(users: ["ann@localhost", "bob@localhost", "ann@second.example"])

    @Test(
        "Every stanza that goes nowhere gets the error of its kind",
        arguments: [
            ("<message to='nobody@localhost' type='chat'><body>x</body></message>", "service-unavailable"),
            ("<iq type='get' id='1' to='nobody@localhost'><query xmlns='x'/></iq>", "service-unavailable"),
            ("<iq type='get' id='1' to='bob@localhost/none'><query xmlns='x'/></iq>", "service-unavailable"),
            ("<iq type='get' id='1' to='localhost'><query xmlns='unknown'/></iq>", "service-unavailable"),
            ("<iq type='get' id='1'><query xmlns='unknown'/></iq>", "service-unavailable"),
            ("<iq type='get' to='localhost'><query xmlns='x'/></iq>", "bad-request"),
            ("<iq type='ask' id='1' to='localhost'><query xmlns='x'/></iq>", "bad-request"),
            ("<iq id='1' to='localhost'><query xmlns='x'/></iq>", "bad-request"),
            ("<iq type='get' id='1' to='localhost'/>", "bad-request"),
            ("<iq type='get' id='1' to='localhost'><a xmlns='x'/><b xmlns='x'/></iq>", "bad-request"),
            ("<message to='localhost' type='chat'><body>x</body></message>", "service-unavailable"),
            ("<message to='bob@localhost' type='groupchat'><body>x</body></message>", "service-unavailable"),
        ]
    )
    func errors(xml: String, condition: String) throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        ann.send(xml)
        let answer = try #require(try ann.stanzas().first)
        #expect(answer.stanzaError?.condition.rawValue == condition)
        // The error of a message is kept like a message.
        if answer.kind == .message { #expect(ann.takeSettled() == ann.sent - 1) }
        ann.acknowledge()
        #expect(ann.takeSettled() == ann.sent)
    }

    @Test(
        "Ghosts are dropped and settled",
        arguments: [
            "<iq type='result' id='1' to='localhost'/>", "<iq type='error' id='1'/>",
            "<iq type='result' id='1' to='bob@localhost'/>",
            "<message to='nobody@localhost' type='error'/>", "<presence to='nobody@localhost'/>",
            "<presence to='nobody@localhost' type='subscribe'/>",
        ]
    )
    func ghosts(xml: String) {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        ann.send(xml)
        #expect(ann.take().allSatisfy { !$0.contains("<error") })
        #expect(ann.takeSettled() == ann.sent)
    }

    @Test("A malformed address is answered by SM, since the stanza counts")
    func fault() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        ann.say(.stanza(try World.stanza("<message id='m'/>"), number: ann.sent + 1, fault: .jidMalformed))
        let answer = try #require(try ann.stanzas().first)
        #expect(answer.stanzaError?.condition == .jidMalformed)
        ann.acknowledge()
        #expect(ann.takeSettled() == ann.sent + 1)
    }

    @Test("A message without an address goes to the own account's resources")
    func toSelf() {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<message type='chat'><body>note</body></message>")
        #expect(bodies(ann.take()) == ["note"])
    }

    @Test("The domains of one suite are apart, and talk to each other")
    func domains() {
        let here = TestClient.online(world, "ann@localhost")
        let there = TestClient.online(world, "ann@second.example")
        here.send("<message to='ann@second.example' type='chat'><body>hi</body></message>")
        #expect(bodies(there.take()) == ["hi"])
        #expect(bodies(here.take()).isEmpty)
    }

    @Test("What is for other domains goes to the link; what comes from there is delivered")
    func outside() throws {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<message to='echo@bot.example' type='chat'><body>ping</body></message>")
        #expect(world.takeOutside().first?.contains("from='ann@localhost/one'") == true)
        try world.fromOutside(
            "<message from='echo@bot.example' to='ann@localhost' type='chat'><body>pong</body></message>"
        )
        #expect(bodies(ann.take()) == ["pong"])
    }

    @Test("Nobody outside speaks for our domains")
    func forged() throws {
        let ann = TestClient.online(world, "ann@localhost")
        try world.fromOutside("<message from='bob@localhost' to='ann@localhost'><body>forged</body></message>")
        #expect(ann.take().isEmpty)
    }

    @Test("An IQ request reaches a resource only of those who let the sender see their presence")
    func iqAndPresence() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        let ping = "<iq type='get' id='p' to='bob@localhost/one'><ping xmlns='urn:xmpp:ping'/></iq>"
        ann.send(ping)
        #expect(try ann.stanzas().first?.stanzaError?.condition == .serviceUnavailable)
        bob.send("<presence to='ann@localhost'/>")
        _ = ann.take()
        ann.send(ping)
        #expect(bob.take().first?.contains("urn:xmpp:ping") == true)
        bob.send("<iq type='result' id='p' to='ann@localhost/one'/>")
        #expect(try ann.stanzas().first?.type == "result")
    }

    @Test("A resource that is taken ends the older session, and a resource of the server's choice is random")
    func conflict() {
        let old = TestClient.online(world, "ann@localhost")
        let new = TestClient(world, "ann@localhost", resource: "one")
        _ = new.take()
        #expect(old.takeEnd()?.condition == .conflict)
        #expect(new.jid?.description == "ann@localhost/one")
        let chosen = TestClient(world, "ann@localhost")
        _ = chosen.take()
        #expect(chosen.jid?.resource?.isEmpty == false)
    }

    @Test("A user who does not exist, or a domain that is not ours, gets no session")
    func refused() {
        for user in ["nobody@localhost", "ann@far.example"] {
            let client = TestClient(world, user)
            _ = client.take()
            #expect(client.refusal != nil)
        }
    }

    @Test("While a user is being loaded, what is for it waits in order")
    func loading() {
        let ann = TestClient.online(world, "ann@localhost")
        world.database.isSlow = true
        for number in 1...3 {
            ann.send("<message to='bob@localhost' type='chat'><body>\(number)</body></message>")
        }
        for _ in 0..<10 {
            world.database.answer()
            world.loop.run()
        }
        let stored = world.database.spool(World.bare("bob@localhost"))
        #expect(stored.count == 3)
        #expect(zip(stored, 1...3).allSatisfy { $0.contains("<body>\($1)</body>") })
        #expect(world.database.loads[World.bare("bob@localhost")] == 1)
    }

    @Test("A user without sessions is forgotten after a while")
    func unloaded() {
        let ann = TestClient.online(world, "ann@localhost")
        #expect(world.server.users.count == 1)
        ann.close()
        world.advance(seconds: 60)
        #expect(world.server.users.count == 0)
    }

    /// RFC 6121 §2.3.3, XEP-0049 §2.3, XEP-0054 §3.2: no stranger may, and nobody learns whether there is an account.
    @Test(
        "What only the owner may ask is refused alike, whether there is an account or not, and whom it blocks",
        arguments: [
            ("get", "<query xmlns='jabber:iq:roster'/>", StanzaError.Condition.forbidden),
            ("set", "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>", .forbidden),
            ("get", "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>", .forbidden),
            ("set", "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>", .forbidden),
            ("set", "<vCard xmlns='vcard-temp'/>", .notAllowed),
        ]
    )
    func ownersOnly(type: String, payload: String, condition: StanzaError.Condition) throws {
        let world = World(users: ["ann@localhost", "bob@localhost", "hater@localhost"])
        _ = world.database.change(World.bare("hater@localhost")) { $0.blocked = ["ann@localhost"] }
        let ann = TestClient.online(world, "ann@localhost")
        for address in ["bob@localhost", "hater@localhost", "nobody@localhost", "nobody@second.example"] {
            ann.send("<iq type='\(type)' id='i' to='\(address)'>\(payload)</iq>")
            let error = try #require(try ann.stanzas().first { $0.id == "i" }?.stanzaError)
            #expect(error.condition == condition, "\(address)")
        }
        ann.send("<iq type='\(type)' id='own' to='ann@localhost'>\(payload)</iq>")
        let own = try #require(try ann.stanzas().first { $0.id == "own" })
        #expect(own.type == "result", "\(own)")
    }
}
