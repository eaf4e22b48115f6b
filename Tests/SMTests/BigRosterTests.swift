// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// Rosters as long as they may be, and longer.
@Suite struct BigRosterTests {
    private func world(
        contacts: Int,
        name: String = "Contact",
        configure: (inout JackdawConfiguration) -> Void = { _ in }
    ) -> World {
        let world = World(users: ["ann@localhost"], configure: configure)
        _ = world.database.change(World.bare("ann@localhost")) { account in
            account.version = Int64(contacts)
            for number in 0..<contacts {
                let contact = "contact\(number)@localhost"
                account.items[contact] = RosterItemRow(
                    contact: contact,
                    name: "\(name) \(number)",
                    subscription: "both",
                    ask: false,
                    approved: false,
                    groups: ["Group \(number % 20)"],
                    version: Int64(number + 1)
                )
            }
        }
        return world
    }

    private func set(_ client: TestClient, _ item: String) throws -> Stanza? {
        client.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>\(item)</query></iq>")
        return try client.stanzas().first { $0.id == "s" }
    }

    private static let get = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"

    @Test("An answer that is longer than the link takes is an error")
    func tooLong() throws {
        let world = world(contacts: 10_000, name: String(repeating: "n", count: 400))
        let ann = TestClient(world, "ann@localhost")
        ann.send(Self.get)
        let answer = try #require(ann.stanzas().first)
        #expect(answer.id == "g" && answer.stanzaError?.condition == .resourceConstraint)
    }

    @Test("A roster is as long in bytes as it may be; it can be cleared, and its subscriptions go on changing")
    func bytes() throws {
        let world = world(contacts: 0) { $0.sm.limits.rosterBytes = 64 << 10 }
        let ann = TestClient.online(world, "ann@localhost")
        let long = String(repeating: "&lt;", count: 1_000)
        var count = 0
        while try set(ann, "<item jid='c\(count)@example.org' name='\(long)'/>")?.type == "result" { count += 1 }
        #expect((14...16).contains(count), "it is the length in XML that counts: \(count)")
        #expect(
            try set(ann, "<item jid='x@example.org' name='\(long)'/>")?.stanzaError?.condition == .resourceConstraint
        )
        #expect(try set(ann, "<item jid='c1@example.org' name='short'/>")?.type == "result")
        #expect(try set(ann, "<item jid='x@example.org' name='short'/>")?.type == "result")
        ann.send("<presence type='subscribe' to='c2@example.org'/>")
        #expect(world.takeOutside().contains { $0.contains("subscribe") })
        #expect(try set(ann, "<item jid='c2@example.org' subscription='remove'/>")?.type == "result")
        #expect(try set(ann, "<item jid='y@example.org' name='\(long)'/>")?.type == "result")
        ann.send(Self.get)
        let answer = try #require(ann.stanzas().first { $0.id == "g" })
        #expect(answer.payload.readableBytes <= 65 << 10)
    }

    /// The default bounds of one link and of one session hold what a login brings.
    @Test("5,000 contacts who are all there with two clients each are one login")
    func everybodyIsThere() throws {
        let world = world(contacts: 5_000)
        for number in 0..<5_000 {
            let contact = "contact\(number)@localhost"
            world.add(contact)
            _ = world.database.change(World.bare(contact)) { account in
                account.items["ann@localhost"] = RosterItemRow(
                    contact: "ann@localhost",
                    subscription: "both",
                    ask: false,
                    approved: false,
                    groups: []
                )
            }
            for resource in ["home", "phone"] { world.login(contact, resource: resource) }
        }
        let ann = TestClient(world, "ann@localhost", resource: "here")
        ann.enable()
        ann.send(Self.get)
        ann.send("<presence/>")
        var received: [Stanza] = []
        while true {
            let some = try ann.stanzas()
            guard !some.isEmpty else { break }
            received += some
            ann.acknowledge(UInt32(received.count))
        }
        #expect(ann.takeEnd() == nil)
        #expect(received.first?.payloadTag?.namespace == Namespace.roster)
        #expect(received.count { $0.kind == .presence && $0.from?.bare != ann.jid?.bare } == 10_000)
        #expect(world.resets == 0 && world.oversized == 0)
    }
}

extension World {
    /// A session with presence of a common size, without the ceremony of a `TestClient`.
    func login(_ user: String, resource: String) {
        let name = name()
        let open = SessionMessage.Open(
            user: Self.bare(user),
            resource: resource,
            address: "127.0.0.1",
            tls: "TLSv1.3",
            mechanism: "SCRAM-SHA-256"
        )
        server.received(SessionMessage(session: name, attach: 1, .open(open)), from: Self.c2s)
        loop.run()
        let presence =
            "<presence><priority>5</priority><show>away</show><status>Out for lunch</status>"
            + "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example.org' "
            + "ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>"
        if let stanza = SpoolCodec.decode(ByteBuffer(string: presence)) {
            server.received(SessionMessage(session: name, attach: 1, .stanza(stanza, number: 1)), from: Self.c2s)
        }
        loop.run()
    }
}
