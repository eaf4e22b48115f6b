// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// RFC 6121 §2.
@Suite struct RosterTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"]) {
        $0.sm.limits.rosterItems = 3
        $0.sm.limits.rosterNameBytes = 20
        $0.sm.limits.rosterGroups = 2
    }

    private func set(_ client: TestClient, _ item: String, id: String = "s") throws -> Stanza? {
        client.send("<iq type='set' id='\(id)'><query xmlns='jabber:iq:roster'>\(item)</query></iq>")
        return try client.stanzas().first { $0.id == id }
    }

    private func get(_ client: TestClient, version: String? = nil) throws -> [Stanza] {
        let attribute = version.map { " ver='\($0)'" } ?? ""
        client.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'\(attribute)/></iq>")
        return try client.stanzas()
    }

    private func query(_ stanza: Stanza?) throws -> Element {
        try #require(try stanza?.payloadElement("query", Namespace.roster))
    }

    @Test("A set is stored, pushed to the interested resources with its version, and answered")
    func set() throws {
        let one = TestClient.online(world, "ann@localhost", resource: "one")
        let two = TestClient.online(world, "ann@localhost", resource: "two")
        _ = try get(one)
        one.send(
            "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
                + "<item jid='Bob@localhost' name='Bob'><group>Friends</group></item></query></iq>"
        )
        let answers = try one.stanzas()
        #expect(answers.map(\.type) == ["set", "result"])
        let push = try query(answers.first)
        #expect(push["ver"] == "e1-1")
        let item = try #require(push.child("item"))
        #expect(item["jid"] == "bob@localhost")
        #expect(item["name"] == "Bob")
        #expect(item["subscription"] == "none")
        #expect(item.child("group")?.text == "Friends")
        #expect(two.take().allSatisfy { !$0.contains("jabber:iq:roster") })
    }

    @Test(
        "What is wrong with a set is told",
        arguments: [
            ("", StanzaError.Condition.badRequest),
            ("<item jid='a@b'/><item jid='c@d'/>", .badRequest),
            ("<item/>", .badRequest),
            ("<item jid='@@'/>", .jidMalformed),
            ("<item jid='a@b'><group/></item>", .notAcceptable),
            ("<item jid='a@b'><group>x</group><group>x</group></item>", .badRequest),
            ("<item jid='a@b' name='123456789012345678901'/>", .notAcceptable),
            ("<item jid='a@b'><group>1</group><group>2</group><group>3</group></item>", .notAcceptable),
            ("<item jid='nobody@b' subscription='remove'/>", .itemNotFound),
        ]
    )
    func errors(item: String, condition: StanzaError.Condition) throws {
        let ann = TestClient.online(world, "ann@localhost")
        #expect(try set(ann, item)?.stanzaError?.condition == condition)
    }

    @Test("The limit of items is kept; an item that is there can still be changed")
    func limit() throws {
        let ann = TestClient.online(world, "ann@localhost")
        for number in 1...3 { #expect(try set(ann, "<item jid='c\(number)@b'/>")?.type == "result") }
        #expect(try set(ann, "<item jid='c4@b'/>")?.stanzaError?.condition == .resourceConstraint)
        #expect(try set(ann, "<item jid='c3@b' name='x'/>")?.type == "result")
    }

    @Test("Somebody else's roster is forbidden")
    func forbidden() throws {
        let ann = TestClient.online(world, "ann@localhost")
        _ = TestClient.online(world, "bob@localhost")
        ann.send("<iq type='get' id='g' to='bob@localhost'><query xmlns='jabber:iq:roster'/></iq>")
        #expect(try ann.stanzas().first?.stanzaError?.condition == .forbidden)
    }

    @Test("A current version gets an empty result, an older one the changes with the removed items, in order")
    func versions() throws {
        let ann = TestClient.online(world, "ann@localhost")
        for jid in ["a@b", "c@d", "e@f"] { _ = try set(ann, "<item jid='\(jid)'/>") }
        _ = try set(ann, "<item jid='a@b' subscription='remove'/>")
        let current = try get(ann, version: "e1-4")
        #expect(current.count == 1)
        #expect(current.first?.payloadTag == nil)
        let changes = try get(ann, version: "e1-2")
        #expect(changes.map(\.type) == ["result", "set", "set"])
        #expect(changes.first?.payloadTag == nil)
        let pushed = try changes.dropFirst().map { try query($0) }
        #expect(pushed.map { $0["ver"] } == ["e1-3", "e1-4"])
        #expect(pushed.map { $0.child("item")?["jid"] } == ["e@f", "a@b"])
        #expect(pushed.last?.child("item")?["subscription"] == "remove")
    }

    @Test(
        "Without a version, or with one that never was, all of it comes",
        arguments: [
            "", "1", "x", "-", "e1", "e1-", "e1-0", "e1--1", "e1-99", "e2-1", "e1-1-1", "e1-99999999999999999999",
        ]
    )
    func whole(version: String) throws {
        let ann = TestClient.online(world, "ann@localhost")
        _ = try set(ann, "<item jid='a@b'/>")
        let result = try query(try get(ann, version: version).first)
        #expect(result["ver"] == "e1-1")
        #expect(result.childElements.count == 1)
        #expect(try query(try get(ann).first)["ver"] == "e1-1")
    }

    @Test("The roster of somebody without contacts has a version as well", arguments: ["", "e1-0", "e1-1", "e2-0"])
    func empty(version: String) throws {
        let ann = TestClient.online(world, "ann@localhost")
        #expect(try query(try get(ann).first)["ver"] == "e1-0")
        let answer = try get(ann, version: version)
        #expect(answer.map(\.type) == ["result"])
        #expect(try query(answer.first).childElements.isEmpty)
    }

    /// §2.6: the client would take its old roster for the new one.
    @Test("An account that is made again has other versions, also where as much has changed")
    func madeAgain() throws {
        let user = World.bare("ann@localhost")
        let first = TestClient.online(world, "ann@localhost")
        for jid in ["a@b", "c@d"] { _ = try set(first, "<item jid='\(jid)'/>") }
        let old = try #require(try query(try get(first).first)["ver"])
        let accounts = try #require(world.server.accounts)
        try accounts.remove(user).wait()
        try accounts.create(user, password: "secret").wait()
        let second = TestClient.online(world, "ann@localhost")
        for jid in ["e@f", "g@h", "i@j"] { _ = try set(second, "<item jid='\(jid)'/>") }
        let all = try query(try get(second, version: old).first)
        #expect(all.childElements.compactMap { $0["jid"] } == ["e@f", "g@h", "i@j"])
        let current = try #require(all["ver"])
        #expect(try get(second, version: current).first?.payloadTag == nil)
    }

    @Test("While the database is away a set gets a wait error; a get is answered from memory")
    func databaseAway() throws {
        let ann = TestClient.online(world, "ann@localhost")
        _ = try set(ann, "<item jid='a@b'/>")
        world.database.isAway = true
        #expect(try set(ann, "<item jid='c@d'/>")?.stanzaError?.type == .wait)
        #expect(try query(try get(ann).first).childElements.count == 1)
    }

    @Test("A get after a set of the same client sees it, however slow the database is")
    func ordered() throws {
        let ann = TestClient.online(world, "ann@localhost")
        world.database.isSlow = true
        ann.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>")
        ann.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
        #expect(ann.take().isEmpty)
        world.database.answer()
        let answers = try ann.stanzas()
        #expect(answers.map(\.id) == ["s", "g"])
        #expect(try query(answers.last).childElements.count == 1)
    }
}
