// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Testing
import XML
import XMPPCore

@testable import SM

/// XEP-0030 and XEP-0115.
@Suite struct DiscoTests {
    private func ask(_ client: TestClient, _ namespace: String, to: String?, node: String? = nil) throws -> Stanza {
        let address = to.map { " to='\($0)'" } ?? ""
        let attribute = node.map { " node='\($0)'" } ?? ""
        client.send("<iq type='get' id='d'\(address)><query xmlns='\(namespace)'\(attribute)/></iq>")
        return try #require(try client.stanzas().first { $0.id == "d" })
    }

    @Test("The simple verification string of XEP-0115 §5.2 has the hash that is given there")
    func simpleVerification() {
        let description = DiscoDescription(
            identities: [DiscoIdentity(category: "client", type: "pc", name: "Exodus 0.9.1")],
            features: [
                "http://jabber.org/protocol/muc", "http://jabber.org/protocol/disco#items",
                "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/caps",
            ],
            forms: []
        )
        #expect(description.verification == "QgayPKawpkPSDYmwT/WM94uAlu0=")
    }

    @Test("The capabilities of the stream features are those that the node's disco#info hashes to")
    func capabilities() throws {
        let world = World(users: ["ann@localhost"]) { $0.domains[0].contacts.abuse = ["mailto:abuse@example.org"] }
        let disco = try #require(world.server.chain.module(DiscoModule.self))
        let feature = try #require(disco.streamFeatures(for: "localhost").first)
        let ann = TestClient.online(world, "ann@localhost")
        let node = "\(try #require(feature["node"]))#\(try #require(feature["ver"]))"
        let query = try #require(
            try ask(ann, Namespace.discoInfo, to: "localhost", node: node).payloadElement("query", Namespace.discoInfo)
        )
        let identities = query.childElements.filter { $0.name == "identity" }.map {
            DiscoIdentity(category: $0["category"] ?? "", type: $0["type"] ?? "", name: $0["name"])
        }
        let received = DiscoDescription(
            identities: identities,
            features: Set(query.childElements.filter { $0.name == "feature" }.compactMap { $0["var"] }),
            forms: query.childElements.filter { $0.name == "x" }
        )
        #expect(received.verification == feature["ver"])
        // XEP-0115 §6.2.
        #expect(received.features.contains(Namespace.caps))
        #expect(received.forms.first?.childElements.map { $0["var"] } == ["FORM_TYPE", "abuse-addresses"])
    }

    @Test("A node that nobody has is not found")
    func unknownNode() throws {
        let world = World(users: ["ann@localhost"])
        let ann = TestClient.online(world, "ann@localhost")
        let answer = try ask(ann, Namespace.discoInfo, to: "localhost", node: "urn:example:none")
        #expect(answer.stanzaError?.condition == .itemNotFound)
    }

    @Test("What is turned off is not announced")
    func disabledModules() throws {
        let world = World(users: ["ann@localhost"]) { $0.sm.disabledModules = [.vcard, .blocking] }
        let ann = TestClient.online(world, "ann@localhost")
        let text = World.text(try ask(ann, Namespace.discoInfo, to: "localhost"))
        #expect(!text.contains(Namespace.vcard) && !text.contains(Namespace.blocking))
        #expect(text.contains(Namespace.ping))
    }

    @Test("An account tells itself to its owner, and to a stranger what no account would")
    func accounts() throws {
        let world = World(users: ["ann@localhost", "bob@localhost"])
        let ann = TestClient.online(world, "ann@localhost")
        #expect(World.text(try ask(ann, Namespace.discoInfo, to: nil)).contains("category='account'"))
        let stranger = try ask(ann, Namespace.discoInfo, to: "bob@localhost")
        let nobody = try ask(ann, Namespace.discoInfo, to: "nobody@localhost")
        #expect(stranger.stanzaError == nobody.stanzaError)
        #expect(stranger.stanzaError?.condition == .serviceUnavailable)
    }

    @Test("A component is an item once it has answered, and until it goes")
    func components() throws {
        let world = World(users: ["ann@localhost"])
        let ann = TestClient.online(world, "ann@localhost")
        world.connect("irc.localhost", kind: .external)
        let request = try World.stanza(try #require(world.takeOutside().first))
        #expect(request.to?.description == "irc.localhost" && request.from?.description == "localhost")
        #expect(!World.text(try ask(ann, Namespace.discoItems, to: "localhost")).contains("irc.localhost"))
        let id = try #require(request.id)
        try world.fromOutside(
            "<iq type='result' id='\(id)' from='irc.localhost' to='localhost'>"
                + "<query xmlns='\(Namespace.discoInfo)'><identity category='gateway' type='irc' name='IRC'/></query></iq>"
        )
        let items = World.text(try ask(ann, Namespace.discoItems, to: "localhost"))
        #expect(items.contains("jid='irc.localhost' name='IRC'"))
        world.disconnect("irc.localhost", kind: .external)
        #expect(!World.text(try ask(ann, Namespace.discoItems, to: "localhost")).contains("irc.localhost"))
    }
}
