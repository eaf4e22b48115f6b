// SPDX-License-Identifier: Apache-2.0

import Config
import Testing
import XML
import XMPPCore

@testable import SM

/// XEP-0191.
@Suite struct BlockingTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    private func command(_ client: TestClient, _ name: String, _ jids: [String], type: String = "set") throws -> Stanza
    {
        let items = jids.map { "<item jid='\($0)'/>" }.joined()
        client.send("<iq type='\(type)' id='b'><\(name) xmlns='urn:xmpp:blocking'>\(items)</\(name)></iq>")
        return try #require(try client.stanzas().first { $0.id == "b" })
    }

    @Test(
        "An address is matched in its four forms",
        arguments: [
            ("bob@example.org/one", ["bob@example.org/one"], true), ("bob@example.org/one", ["bob@example.org"], true),
            ("bob@example.org/one", ["example.org"], true), ("bob@example.org/one", ["example.org/one"], true),
            ("bob@example.org/one", ["bob@example.org/two"], false),
            ("bob@example.org", ["bob@example.org/one"], false),
            ("bob@example.org", ["carol@example.org"], false), ("bob@sub.example.org", ["example.org"], false),
            ("example.org", ["bob@example.org"], false), ("example.org", ["example.org"], true),
        ]
    )
    func matching(_ address: String, _ blocked: [String], _ isBlocked: Bool) throws {
        let list = Blocklist(try blocked.map { try JID($0) })
        #expect(list.blocks(try JID(address)) == isBlocked)
    }

    @Test("A change is pushed to the resources that asked for the list")
    func pushes() throws {
        let one = TestClient.online(world, "ann@localhost", resource: "one")
        let two = TestClient.online(world, "ann@localhost", resource: "two")
        let three = TestClient.online(world, "ann@localhost", resource: "three")
        for client in [one, two] { #expect(try command(client, "blocklist", [], type: "get").type == "result") }
        for client in [two, three] { _ = client.take() }
        #expect(try command(one, "block", ["bob@localhost"]).type == "result")
        #expect(two.take().filter { $0.contains("<block ") }.count == 1)
        #expect(three.take().isEmpty)
        #expect(world.database.accounts[World.bare("ann@localhost")]?.blocked == ["bob@localhost"])
    }

    @Test("A blocked sender sees what one of no account sees, and gets nothing through")
    func blockedSender() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        _ = try command(ann, "block", ["bob@localhost"])
        for target in ["ann@localhost", "nobody@localhost"] {
            bob.send("<message to='\(target)' type='chat' id='m'><body>x</body></message>")
            #expect(try bob.stanzas().first?.stanzaError == .serviceUnavailable)
            bob.send("<iq to='\(target)' type='get' id='q'><query xmlns='jabber:iq:version'/></iq>")
            #expect(try bob.stanzas().first?.stanzaError == .serviceUnavailable)
            bob.send("<presence to='\(target)' type='subscribe'/>")
            #expect(try bob.stanzas().allSatisfy { $0.kind != .presence })
        }
        #expect(ann.take().isEmpty)
    }

    @Test("Own stanzas to a blocked address come back with the reason")
    func ownStanzas() throws {
        let ann = TestClient.online(world, "ann@localhost")
        _ = try command(ann, "block", ["bob@localhost"])
        ann.send("<message to='bob@localhost' type='chat' id='m'><body>x</body></message>")
        let error = try #require(try ann.stanzas().first?.stanzaError)
        #expect(error.condition == .notAcceptable)
        #expect(error.application?.name == "blocked")
    }

    @Test("What is no address, and a block without items, is refused; an unblock without items unblocks all")
    func shapes() throws {
        let ann = TestClient.online(world, "ann@localhost")
        #expect(try command(ann, "block", ["@"]).stanzaError?.condition == .jidMalformed)
        #expect(try command(ann, "block", []).stanzaError?.condition == .badRequest)
        _ = try command(ann, "block", ["bob@localhost", "example.org"])
        #expect(try command(ann, "unblock", []).type == "result")
        #expect(world.database.accounts[World.bare("ann@localhost")]?.blocked == [])
    }

    @Test("A list past the limit is read as far as the limit, and refused")
    func limit() throws {
        let small = World(users: ["ann@localhost"]) { $0.sm.limits.blockedAddresses = 3 }
        let ann = TestClient.online(small, "ann@localhost")
        let jids = (1...4).map { "user\($0)@example.org" }
        #expect(try command(ann, "block", jids + ["@"]).stanzaError?.condition == .resourceConstraint)
        #expect(try command(ann, "unblock", jids + ["@"]).stanzaError?.condition == .resourceConstraint)
        // The same address again is no further one.
        #expect(try command(ann, "block", Array(jids[..<3] + jids[..<3])).type == "result")
        #expect(small.database.accounts[World.bare("ann@localhost")]?.blocked.count == 3)
    }

    @Test("While the database is away nothing is blocked that would be forgotten")
    func databaseAway() throws {
        let ann = TestClient.online(world, "ann@localhost")
        world.database.isAway = true
        #expect(try command(ann, "block", ["bob@localhost"]).stanzaError?.type == .wait)
        #expect(ann.take().isEmpty)
        world.database.isAway = false
        #expect(!World.text(try command(ann, "blocklist", [], type: "get")).contains("bob"))
    }

    /// The presence that went out, as "type to".
    private func presences() throws -> [String] {
        try world.takeOutside().map { try World.stanza($0) }.filter { $0.kind == .presence }
            .map { "\($0.type ?? "available") \($0.to?.description ?? "")" }.sorted()
    }

    @Test("Who gets the presence, by subscription or directed, sees the user leave and come back, whatever form blocks")
    func presenceOfBlocked() throws {
        for contact in ["c@far.example", "d@far.example", "e@near.example"] {
            world.befriend("ann@localhost", contact, "from")
        }
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<presence to='room@far.example/ann'/>")
        ann.send("<presence to='other@near.example'/>")
        _ = try presences()
        _ = try command(ann, "block", ["c@far.example"])
        #expect(try presences() == ["unavailable c@far.example"])
        _ = try command(ann, "block", ["far.example"])
        #expect(try presences() == ["unavailable d@far.example", "unavailable room@far.example/ann"])
        _ = try command(ann, "block", ["other@near.example/x"])
        #expect(try presences().isEmpty)
        _ = try command(ann, "unblock", ["far.example"])
        #expect(try presences() == ["available d@far.example"])
        _ = try command(ann, "unblock", [])
        #expect(try presences() == ["available c@far.example"])
        ann.close()
        #expect(
            try presences() == [
                "unavailable c@far.example", "unavailable d@far.example", "unavailable e@near.example",
                "unavailable other@near.example",
            ]
        )
    }
}
