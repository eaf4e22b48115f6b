// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// What is kept until clients acknowledge it has a bound for a user, and for the process.
@Suite struct MemoryTests {
    private let bobJID = World.bare("bob@localhost")

    private func chat(_ sender: TestClient, _ to: String, _ bytes: Int = 100_000, type: String = "chat") {
        let body = String(repeating: "x", count: bytes)
        sender.send("<message to='\(to)' type='\(type)'><body>\(body)</body></message>")
    }

    @Test("Copies for many sessions count once, and leave with the last of them")
    func copies() throws {
        let world = World(users: ["ann@localhost", "bob@localhost"])
        let ann = TestClient.online(world, "ann@localhost")
        let clients = (0..<10).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        for client in clients {
            _ = client.take()
            client.acknowledge(UInt32(client.last ?? 0))
        }
        #expect(world.server.kept.bytes == 0)
        chat(ann, "bob@localhost")
        #expect((100_000..<110_000).contains(world.server.kept.bytes))
        for client in clients {
            #expect(world.server.kept.bytes > 0)
            _ = client.take()
            client.acknowledge(UInt32(client.last ?? 0))
        }
        #expect(world.server.kept.bytes == 0)
        #expect(world.server.users[bobJID]?.kept.bytes == 0)
    }

    @Test("Past a user's bound its oldest broken session ends, and what that kept goes to the spool")
    func user() throws {
        let world = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.limits.unacknowledgedBytes = 250_000 }
        let ann = TestClient.online(world, "ann@localhost")
        let clients = (0..<6).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        // Two for each, by name: 1.2 MB, and a user may have 1 MB.
        for (number, client) in clients.enumerated() {
            for _ in 0..<2 { chat(ann, "bob@localhost/r\(number)") }
            if number < 3 { client.detach() }
        }
        #expect(world.server.sessions[clients[0].name] == nil)
        for client in clients[1...] { #expect(world.server.sessions[client.name] != nil) }
        #expect(world.server.users[bobJID].map { $0.kept.bytes <= 1_000_000 } == true)
    }

    @Test("Without a broken session the one that keeps most ends, and nothing is lost")
    func attached() throws {
        let world = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.limits.unacknowledgedBytes = 250_000 }
        let ann = TestClient.online(world, "ann@localhost")
        let clients = (0..<6).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        for number in 0..<6 {
            for _ in 0..<2 { chat(ann, "bob@localhost/r\(number)") }
        }
        let ended = clients.compactMap { $0.takeEnd() }
        #expect((1...2).contains(ended.count))
        #expect(ended.allSatisfy { $0.condition == .resourceConstraint })
        #expect(world.server.users[bobJID].map { $0.kept.bytes <= 1_000_000 } == true)
        for client in clients { client.detach() }
        world.advance(seconds: 700)
        #expect(world.database.spool(bobJID).count == 12)
    }

    @Test("Past the bound of the process the oldest broken session of all ends; a headline is dropped")
    func process() throws {
        let world = World(users: ["ann@localhost", "bob@localhost", "carol@localhost"]) {
            $0.sm.limits.unacknowledgedBytesTotal = 500_000
        }
        let ann = TestClient.online(world, "ann@localhost")
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        chat(ann, "bob@localhost", 300_000)
        bob.detach()
        let carol = TestClient.online(world, "carol@localhost", resume: true)
        chat(ann, "carol@localhost", 150_000)
        #expect(world.server.sessions[bob.name] != nil)
        chat(ann, "carol@localhost", 150_000, type: "headline")
        #expect(carol.take().count == 1)
        #expect(world.server.sessions[bob.name] != nil)
        chat(ann, "carol@localhost", 150_000)
        #expect(world.server.sessions[bob.name] == nil)
        #expect(world.database.spool(bobJID).count == 1)
        #expect(carol.take().count == 1)
        #expect(world.server.kept.bytes < 500_000)
    }
}
