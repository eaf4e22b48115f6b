// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// What a new configuration changes in a server that runs (SIGHUP).
@Suite struct ReloadTests {
    private let world = World(users: ["ann@localhost"])

    private func reload(_ change: (inout JackdawConfiguration) -> Void) {
        var configuration = world.server.configuration
        change(&configuration)
        world.server.reload(configuration)
        world.loop.run()
    }

    private func ask(_ client: TestClient, _ payload: String, to: String? = nil) throws -> Stanza {
        let address = to.map { " to='\($0)'" } ?? ""
        client.send("<iq type='get' id='q'\(address)>\(payload)</iq>")
        return try #require(try client.stanzas().first { $0.id == "q" })
    }

    private func info(_ client: TestClient) throws -> Element {
        let answer = try ask(client, "<query xmlns='\(Namespace.discoInfo)'/>", to: "localhost")
        return try #require(try answer.payloadElement("query", Namespace.discoInfo))
    }

    private func features(_ client: TestClient) throws -> Set<String> {
        Set(try info(client).childElements.compactMap { $0.name == "feature" ? $0["var"] : nil })
    }

    @Test("A module goes and comes back, and is announced accordingly")
    func modules() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let vcard = "<vCard xmlns='vcard-temp'/>"
        #expect(try ask(ann, vcard).stanzaError?.condition != .serviceUnavailable)
        reload { $0.sm.disabledModules = [.vcard, .version] }
        #expect(try ask(ann, vcard).stanzaError?.condition == .serviceUnavailable)
        #expect(try features(ann).isDisjoint(with: [Namespace.vcard, Namespace.version]))
        reload { $0.sm.disabledModules = [] }
        #expect(try ask(ann, vcard).stanzaError?.condition != .serviceUnavailable)
        #expect(try features(ann).isSuperset(of: [Namespace.vcard, Namespace.version]))
    }

    @Test("A module that goes keeps what it knows for its return")
    func memory() throws {
        _ = world.takeSaidFeatures()
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='eve@x.example'/></block></iq>")
        reload { $0.sm.disabledModules = [.blocking] }
        #expect(try ask(ann, "<blocklist xmlns='urn:xmpp:blocking'/>").stanzaError?.condition == .serviceUnavailable)
        reload { $0.sm.disabledModules = [] }
        let list = try ask(ann, "<blocklist xmlns='urn:xmpp:blocking'/>")
        #expect(try list.payloadElement("blocklist", "urn:xmpp:blocking")?.childElements.count == 1)
    }

    @Test("Every C2S gets the new stream features, whose capabilities are those that are asked for")
    func streamFeatures() throws {
        _ = world.takeSaidFeatures()
        reload { $0.sm.limits.rosterItems = 5 }
        #expect(world.takeSaidFeatures() == [], "nothing has changed in them")
        reload { $0.domains[0].contacts.abuse = ["mailto:abuse@example.org"] }
        let told = world.takeSaidFeatures()
        #expect(told.count == 1, "those of the other domain are as they were")
        let ann = TestClient.online(world, "ann@localhost")
        let form = try #require(try info(ann).child("x", Namespace.dataForms))
        #expect(form.childElements.map { $0["var"] } == ["FORM_TYPE", "abuse-addresses"])
        #expect(told.first == String(buffer: world.server.streamFeatures(for: "localhost")))
    }

    @Test("The rules of registration are the new ones, and what was counted stays counted")
    func registration() throws {
        reload {
            $0.registration.enabled = true
            $0.registration.perAddress = 1
            $0.registration.passwordLengthMinimum = 4
        }
        #expect(try register("bob", "1234").stanzaError == nil)
        #expect(try register("cid", "1234").stanzaError?.condition == .resourceConstraint)
        reload {
            $0.registration.perAddress = 2
            $0.registration.passwordLengthMinimum = 5
        }
        #expect(try register("cid", "1234").stanzaError?.condition == .notAcceptable)
        #expect(try register("cid", "12345").stanzaError == nil)
        #expect(try register("dan", "12345").stanzaError?.condition == .resourceConstraint)
        reload { $0.registration.passwordChange = false }
        let ann = TestClient.online(world, "ann@localhost")
        ann.send(
            "<iq type='set' id='p' to='localhost'><query xmlns='jabber:iq:register'><username>ann</username>"
                + "<password>long enough</password></query></iq>"
        )
        #expect(try ann.stanzas().first { $0.id == "p" }?.stanzaError?.condition == .notAllowed)
    }

    private func register(_ name: String, _ password: String) throws -> Stanza {
        let module = try #require(world.server.chain.module(RegistrationModule.self))
        let iq = try World.stanza(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>\(name)</username>"
                + "<password>\(password)</password></query></iq>"
        )
        var answer: Stanza?
        let request = SessionMessage.Register(request: "1", domain: "localhost", address: "192.0.2.1", iq: iq)
        #expect(module.registration(request) { answer = $0 })
        world.loop.run()
        return try #require(answer)
    }
}

extension World {
    /// The stream features that C2S instances were told since the last call.
    func takeSaidFeatures() -> [String] {
        take(session: "").compactMap { message in
            if case .features(_, let bytes) = message.content { String(buffer: bytes) } else { nil }
        }
    }
}
