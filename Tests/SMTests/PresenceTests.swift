// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// RFC 6121 §4.
@Suite struct PresenceTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    private func friends() {
        world.befriend("ann@localhost", "bob@localhost", "both")
        world.befriend("bob@localhost", "ann@localhost", "both")
    }

    private func presences(_ client: TestClient) throws -> [String] {
        try client.stanzas().filter { $0.kind == .presence }
            .map { "\($0.from?.description ?? "") \($0.type ?? "available")" }
    }

    @Test("Initial presence goes to contacts and own resources, and brings theirs")
    func initial() throws {
        friends()
        let bob = TestClient.online(world, "bob@localhost")
        let ann = TestClient(world, "ann@localhost", resource: "one")
        ann.send("<presence><show>away</show></presence>")
        #expect(try presences(bob) == ["ann@localhost/one available"])
        #expect(try presences(ann) == ["ann@localhost/one available", "bob@localhost/one available"])
        let second = TestClient(world, "ann@localhost", resource: "two")
        second.send("<presence/>")
        #expect(
            Set(try presences(second)) == [
                "ann@localhost/two available", "ann@localhost/one available", "bob@localhost/one available",
            ]
        )
        #expect(try presences(ann) == ["ann@localhost/two available"])
    }

    @Test("Presence for a contact without sessions does not load the contact")
    func notLoaded() {
        friends()
        _ = TestClient.online(world, "ann@localhost")
        #expect(world.database.loads[World.bare("bob@localhost")] == nil)
    }

    @Test("A connection that breaks, a close and unavailable presence are told once", arguments: 0..<3)
    func unavailable(way: Int) throws {
        friends()
        let bob = TestClient.online(world, "bob@localhost")
        let ann = TestClient.online(world, "ann@localhost")
        _ = bob.take()
        switch way {
        case 0: ann.detach()
        case 1: ann.close()
        default:
            ann.send("<presence type='unavailable'><status>bye</status></presence>")
            ann.close()
        }
        let told = bob.take()
        #expect(told.count == 1)
        #expect(told.first?.contains("unavailable") == true)
        #expect(told.first?.contains("bye") == (way == 2))
    }

    @Test("Who got directed presence is told the end of it, once, whatever way it ends")
    func directed() throws {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<presence to='room@muc.example/ann'/>")
        ann.send("<presence to='bob@localhost'/>")
        #expect(world.takeOutside().count == 1)
        ann.send("<presence><show>dnd</show></presence>")
        #expect(world.takeOutside().isEmpty)
        ann.detach()
        let outside = world.takeOutside()
        #expect(outside.count == 1)
        #expect(outside.first?.contains("unavailable") == true)
        #expect(outside.first?.contains("to='room@muc.example/ann'") == true)
    }

    @Test("Directed unavailable presence is not followed by another one")
    func directedEnd() {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<presence to='room@muc.example/ann'/>")
        ann.send("<presence to='room@muc.example/ann' type='unavailable'/>")
        #expect(world.takeOutside().count == 2)
        ann.close()
        #expect(world.takeOutside().isEmpty)
    }

    @Test("A probe from outside gets the presence, unavailable, or unsubscribed")
    func probes() throws {
        world.befriend("ann@localhost", "friend@far.example", "from")
        let probe = "<presence type='probe' from='friend@far.example/x' to='ann@localhost'/>"
        try world.fromOutside(probe)
        #expect(world.takeOutside().first?.contains("type='unavailable'") == true)
        let ann = TestClient.online(world, "ann@localhost")
        _ = world.takeOutside()
        try world.fromOutside(probe)
        let answer = try #require(world.takeOutside().first)
        #expect(answer.contains("from='ann@localhost/one'") && answer.contains("to='friend@far.example/x'"))
        try world.fromOutside("<presence type='probe' from='stranger@far.example' to='ann@localhost'/>")
        #expect(world.takeOutside().first?.contains("type='unsubscribed'") == true)
        #expect(ann.take().isEmpty)
    }

    @Test("Probes and presence go out to contacts elsewhere, by their subscription")
    func outward() {
        world.befriend("ann@localhost", "gets@far.example", "from")
        world.befriend("ann@localhost", "gives@far.example", "to")
        _ = TestClient.online(world, "ann@localhost")
        let outside = world.takeOutside()
        #expect(outside.count == 2)
        #expect(outside.contains { $0.contains("to='gets@far.example'") && !$0.contains("type=") })
        #expect(outside.contains { $0.contains("to='gives@far.example'") && $0.contains("type='probe'") })
    }

    @Test("A raised priority takes messages, a negative one takes none")
    func priority() {
        let ann = TestClient.online(world, "ann@localhost")
        let low = TestClient.online(world, "bob@localhost", resource: "low", priority: 1)
        let high = TestClient.online(world, "bob@localhost", resource: "high", priority: -1)
        ann.send("<message to='bob@localhost' type='chat'><body>1</body></message>")
        #expect(bodies(low.take()) == ["1"])
        high.send("<presence><priority>10</priority></presence>")
        ann.send("<message to='bob@localhost' type='chat'><body>2</body></message>")
        #expect(bodies(high.take()) == ["2"])
        #expect(bodies(low.take()).isEmpty)
        low.send("<presence type='unavailable'/>")
        high.send("<presence><priority>-1</priority></presence>")
        ann.send("<message to='bob@localhost' type='chat'><body>3</body></message>")
        #expect(world.database.spool(World.bare("bob@localhost")).count == 1)
        high.send("<presence><priority>0</priority></presence>")
        #expect(bodies(high.take()) == ["3"])
    }

    @Test("A presence of a type that does not exist is a bad request")
    func unknownType() throws {
        let ann = TestClient.online(world, "ann@localhost")
        ann.send("<presence type='sleeping'/>")
        #expect(try ann.stanzas().first?.stanzaError?.condition == .badRequest)
    }
}
