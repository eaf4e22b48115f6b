// SPDX-License-Identifier: Apache-2.0

import Config
import Testing
import XML
import XMPPCore

@testable import SM

/// vcard-temp (XEP-0054), private storage (XEP-0049) and last activity (XEP-0012): what an account keeps.
@Suite struct StoredModulesTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"]) {
        $0.sm.limits.vcardBytes = 200
        $0.sm.limits.privateStorageBytes = 200
    }

    private func request(_ client: TestClient, _ type: String, _ payload: String, to: String? = nil) throws -> Stanza {
        let address = to.map { " to='\($0)'" } ?? ""
        client.send("<iq type='\(type)' id='i'\(address)>\(payload)</iq>")
        return try #require(try client.stanzas().first { $0.id == "i" })
    }

    @Test("A vCard comes back as the bytes that were stored, also for others")
    func vCard() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        let empty = "<vCard xmlns='vcard-temp'/>"
        // §3.3: as if there were no such account.
        let missing = try request(bob, "get", empty, to: "ann@localhost").stanzaError
        let nobody = try request(bob, "get", empty, to: "nobody@localhost").stanzaError
        #expect(missing?.condition == .serviceUnavailable && missing == nobody)
        #expect(try request(ann, "get", empty).stanzaError?.condition == .itemNotFound)
        #expect(try request(ann, "get", empty, to: "ann@localhost").stanzaError?.condition == .itemNotFound)
        let card = "<vCard xmlns=\"vcard-temp\"><FN>A &amp; B</FN><odd:X xmlns:odd='urn:x' a='1'/></vCard>"
        #expect(try request(ann, "set", card).type == "result")
        #expect(World.text(try request(bob, "get", empty, to: "ann@localhost")).contains(card))
        #expect(try request(bob, "set", card, to: "ann@localhost").stanzaError?.condition == .notAllowed)
    }

    @Test("A vCard over the limit is refused")
    func largeVCard() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let card = "<vCard xmlns='vcard-temp'><FN>\(String(repeating: "x", count: 300))</FN></vCard>"
        #expect(try request(ann, "set", card).stanzaError?.condition == .notAcceptable)
    }

    @Test("A private element is stored by name and namespace, and nobody else reads it")
    func privateStorage() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        func query(_ content: String) -> String { "<query xmlns='jabber:iq:private'>\(content)</query>" }
        #expect(try request(ann, "set", query("<a xmlns='n:1'><b>x</b></a>")).type == "result")
        #expect(World.text(try request(ann, "get", query("<a xmlns='n:1'/>"))).contains("<b>x</b>"))
        #expect(!World.text(try request(ann, "get", query("<a xmlns='n:2'/>"))).contains("<b>x</b>"))
        #expect(
            try request(bob, "get", query("<a xmlns='n:1'/>"), to: "ann@localhost").stanzaError?.condition == .forbidden
        )
        #expect(try request(ann, "set", query("")).stanzaError?.condition == .notAcceptable)
        let much = "<a xmlns='n:3'>\(String(repeating: "x", count: 150))</a>"
        #expect(try request(ann, "set", query(much)).type == "result")
        // What is replaced does not count; what is new does.
        #expect(try request(ann, "set", query(much)).type == "result")
        let more = "<a xmlns='n:4'>\(String(repeating: "x", count: 150))</a>"
        #expect(try request(ann, "set", query(more)).stanzaError?.condition == .resourceConstraint)
    }

    /// Lets the contact see the presence of the user.
    private func subscribe(_ contact: String, to user: String) {
        let row = RosterItemRow(
            contact: contact,
            name: nil,
            subscription: "from",
            ask: false,
            approved: false,
            groups: [],
            version: 1
        )
        _ = world.database.change(World.bare(user)) { $0.items[contact] = row }
    }

    @Test("Last activity: since when an account is away, for those who may see its presence")
    func lastActivity() throws {
        subscribe("bob@localhost", to: "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost")
        let query = "<query xmlns='jabber:iq:last'/>"
        let last = { (to: String) in
            try self.request(bob, "get", query, to: to).payloadElement("query", "jabber:iq:last")
        }
        let ann = TestClient.online(world, "ann@localhost", resource: "one")
        world.advance(seconds: 30)
        #expect(try last("ann@localhost")?["seconds"] == "0")
        ann.send("<presence type='unavailable'><status>Out</status></presence>")
        world.advance(seconds: 90)
        // §3: one that is connected counts, available or not.
        let connected = try #require(try last("ann@localhost"))
        #expect(connected["seconds"] == "0" && connected.text.isEmpty)
        ann.close()
        let away = try #require(try last("ann@localhost"))
        #expect(away["seconds"] == "90" && away.text == "Out")
        #expect(World.text(try request(bob, "get", query, to: "localhost")).contains("seconds='120'"))
    }

    /// §3 and §4, and §8: it must not tell whether the user, or the resource, is there.
    @Test("Who may not see the presence is forbidden to ask an account or a resource for its last activity")
    func lastActivityOfAStranger() throws {
        let bob = TestClient.online(world, "bob@localhost")
        let query = "<query xmlns='jabber:iq:last'/>"
        let ask = { (to: String) in try self.request(bob, "get", query, to: to).stanzaError?.condition }
        for _ in 0..<2 {
            for to in ["ann@localhost", "ann@localhost/one", "ann@localhost/nobody"] {
                #expect(try ask(to) == .forbidden, "\(to)")
            }
            let ann = TestClient.online(world, "ann@localhost", resource: "one")
            #expect(ann.take().isEmpty)
        }
        // Other requests to the resource keep RFC 6121's error.
        let other = try request(bob, "get", "<ping xmlns='urn:xmpp:ping'/>", to: "ann@localhost/one")
        #expect(other.stanzaError?.condition == .serviceUnavailable)
    }

    @Test("Who may see the presence asks the client itself")
    func lastActivityOfAResource() throws {
        subscribe("bob@localhost", to: "ann@localhost")
        let ann = TestClient.online(world, "ann@localhost", resource: "one")
        let bob = TestClient.online(world, "bob@localhost")
        _ = ann.take()
        bob.send("<iq type='get' id='i' to='ann@localhost/one'><query xmlns='jabber:iq:last'/></iq>")
        #expect(try ann.stanzas().map(\.id) == ["i"])
    }
}
