// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// No answer is larger than what the router takes: it would end SM's stream, and every session with it.
@Suite struct LargeAnswerTests {
    private let world = World(users: ["ann@localhost"])

    private func ask(_ client: TestClient, _ xml: String) throws -> Stanza {
        client.send(xml)
        return try #require(try client.stanzas().first { $0.id == "x" })
    }

    private func set(_ client: TestClient, _ item: String) throws -> StanzaError.Condition? {
        try ask(client, "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>\(item)</query></iq>")
            .stanzaError?.condition
    }

    private func getRoster(_ client: TestClient) throws -> Stanza {
        try ask(client, "<iq type='get' id='x'><query xmlns='jabber:iq:roster'/></iq>")
    }

    @Test("A roster has room for what one stanza carries, escapes counted; what makes it no larger is always taken")
    func roster() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let name = String(repeating: "&apos;", count: 1_000)
        var count = 0
        while try set(ann, "<item jid='c\(count)@far.example' name='\(name)'/>") == nil { count += 1 }
        #expect((150..<400).contains(count))
        #expect(try set(ann, "<item jid='c0@far.example' name='\(name)'/>") == nil)
        #expect(try getRoster(ann).type == "result")
        #expect(try set(ann, "<item jid='c0@far.example' subscription='remove'/>") == nil)
        #expect(try set(ann, "<item jid='d0@far.example' name='\(name)'/>") == nil)
        #expect(try set(ann, "<item jid='d1@far.example' name='\(name)'/>") == .resourceConstraint)
        #expect(try getRoster(ann).type == "result")
        #expect(world.oversized == 0)
    }

    @Test("A subscription that would make the roster too large is refused")
    func subscription() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let name = String(repeating: "&apos;", count: 1_000)
        var count = 0
        while try set(ann, "<item jid='c\(count)@far.example' name='\(name)'/>") == nil { count += 1 }
        var conditions: [StanzaError.Condition?] = []
        let local = String(repeating: "s", count: 1_000)
        for number in 0..<8 {
            ann.send("<presence type='subscribe' to='\(local)\(number)@far.example'/>")
            conditions.append(try ann.stanzas().first?.stanzaError?.condition)
        }
        #expect(conditions.last == .some(.resourceConstraint))
    }

    @Test("A roster of 10,000 usual contacts fits")
    func usualRoster() throws {
        for number in 0..<10_000 {
            world.database.accounts[World.bare("ann@localhost")]?.items["friend\(number)@chat.example.org"] =
                RosterItemRow(
                    contact: "friend\(number)@chat.example.org",
                    name: "Friend \(number)",
                    subscription: "both",
                    ask: false,
                    approved: false,
                    groups: ["Friends"],
                    version: 1
                )
        }
        let ann = TestClient(world, "ann@localhost", resource: "one")
        let roster = try getRoster(ann)
        #expect(try roster.payloadElement("query", Namespace.roster)?.childElements.count == 10_000)
        #expect(try set(ann, "<item jid='friend1@chat.example.org' name='Best Friend'/>") == nil)
    }

    @Test("A block list has room for what one stanza carries")
    func blocklist() throws {
        let world = World(users: ["ann@localhost"]) { $0.router.limits.internalStanzaBytes = 2 << 20 }
        let ann = TestClient.online(world, "ann@localhost")
        let resource = String(repeating: "r", count: 1_000)
        var count = 0
        var error: StanzaError.Condition?
        while error == nil, count < 2_000 {
            let items = (0..<100).map { "<item jid='b\(count + $0)@far.example/\(resource)'/>" }.joined()
            error = try ask(ann, "<iq type='set' id='x'><block xmlns='urn:xmpp:blocking'>\(items)</block></iq>")
                .stanzaError?.condition
            if error == nil { count += 100 }
        }
        #expect(error == .resourceConstraint)
        #expect((1_000..<1_600).contains(count))
        #expect(try ask(ann, "<iq type='get' id='x'><blocklist xmlns='urn:xmpp:blocking'/></iq>").type == "result")
        let removed = "<item jid='b0@far.example/\(resource)'/>"
        #expect(
            try ask(ann, "<iq type='set' id='x'><unblock xmlns='urn:xmpp:blocking'>\(removed)</unblock></iq>").type
                == "result"
        )
        #expect(world.oversized == 0)
    }

    @Test("An answer that is too large all the same is replaced by an error")
    func guarded() throws {
        for number in 0..<3_000 {
            world.befriend("ann@localhost", "\(String(repeating: "c", count: 1_000))\(number)@far.example", "none")
        }
        let ann = TestClient(world, "ann@localhost", resource: "one")
        let answer = try getRoster(ann)
        #expect(answer.stanzaError?.condition == .resourceConstraint)
        #expect(world.oversized == 0)
        #expect(world.resets == 0)
    }

    @Test("A stanza for elsewhere that is too large for the router goes back")
    func guardedOutside() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let body = String(repeating: "x", count: 3 << 20)
        ann.send("<message to='c@far.example' id='x'><body>\(body)</body></message>")
        #expect(try ann.stanzas().first?.stanzaError?.condition == .policyViolation)
        ann.send("<message to='ann@localhost/one' id='x'><body>\(body)</body></message>")
        #expect(try ann.stanzas().first?.stanzaError?.condition == .policyViolation)
        #expect(world.oversized == 0)
    }
}
