// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// Users who come back to more than a client or the memory of a session takes at once.
@Suite struct LongSpoolTests {
    private let bobJID = World.bare("bob@localhost")

    private func world(_ configure: (inout JackdawConfiguration) -> Void = { _ in }) -> World {
        World(users: ["ann@localhost", "bob@localhost"], configure: configure)
    }

    private func chat(_ sender: TestClient, _ number: Int, bytes: Int) {
        let text = "\(number).\(String(repeating: "x", count: bytes))"
        sender.send("<message to='bob@localhost' type='chat'><body>\(text)</body></message>")
    }

    /// What the client got, by the marks of the bodies; every burst is within what C2S holds for a client.
    private func hear(_ client: TestClient) throws -> [Int] {
        let stanzas = try client.stanzas()
        #expect(stanzas.reduce(0) { $0 + $1.encodedSize } < 3 << 20)
        for ping in stanzas where ping.kind == .iq && ping.from?.description == "localhost" {
            client.send("<iq type='result' to='localhost' id='\(ping.id ?? "")'/>")
        }
        return bodies(stanzas.map(World.text)).compactMap { Int($0.prefix { $0 != "." }) }
    }

    /// Hears and acknowledges until nothing comes any more.
    private func hearAll(_ world: World, _ client: TestClient, isCounting: Bool) throws -> [Int] {
        var marks: [Int] = []
        for _ in 0..<200 {
            marks += try hear(client)
            if isCounting { client.acknowledge(UInt32(client.last ?? 0)) }
            world.loop.advanceTime(by: .milliseconds(5))
        }
        return marks
    }

    @Test(
        "Big messages that waited all come, as the client acknowledges them, and lock nobody out",
        arguments: [true, false]
    )
    func bigMessages(isCounting: Bool) throws {
        let world = world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for number in 0..<40 { chat(ann, number, bytes: 450_000) }
        #expect(world.database.spool(bobJID).count == 40)
        let bob = TestClient(world, "bob@localhost", resource: "one")
        if isCounting { bob.enable() }
        bob.send("<presence/>")
        #expect(world.database.mostRowBytes < 2 << 20)
        let marks = try hearAll(world, bob, isCounting: isCounting)
        #expect(marks == Array(0..<40))
        #expect(bob.takeEnd() == nil)
        bob.send("<presence/>")
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("A client that acknowledges nothing keeps its session, and the rest waits in the database")
    func silence() throws {
        let world = world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for number in 0..<40 { chat(ann, number, bytes: 450_000) }
        let bob = TestClient(world, "bob@localhost", resource: "one")
        bob.enable()
        bob.send("<presence/>")
        chat(ann, 40, bytes: 10)
        for _ in 0..<5 { world.loop.advanceTime(by: .milliseconds(5)) }
        #expect(bob.takeEnd() == nil)
        #expect(try hear(bob) == [0, 1])
        #expect(world.database.spool(bobJID).count == 41)
    }

    @Test("An outbox with little room is filled row by row", arguments: [true, false])
    func smallOutbox(isCounting: Bool) throws {
        let world = world { $0.sm.limits.unacknowledgedBytes = 600 << 10 }
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        for number in 0..<20 { chat(ann, number, bytes: number.isMultiple(of: 2) ? 100_000 : 450_000) }
        let bob = TestClient(world, "bob@localhost", resource: "one")
        if isCounting { bob.enable() }
        bob.send("<presence/>")
        let marks = try hearAll(world, bob, isCounting: isCounting)
        #expect(marks == Array(0..<20))
        #expect(bob.takeEnd() == nil)
    }

    @Test("A new session that takes over more than it has room for gets the rest from the spool")
    func takeOver() throws {
        let world = world { $0.sm.limits.unacknowledgedBytes = 4 << 20 }
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let phones = (0..<3).map { index in
            let phone = TestClient.online(world, "bob@localhost", resource: "\(index)", priority: index, resume: true)
            for number in 0..<8 { chat(ann, index * 8 + number, bytes: 450_000) }
            return phone
        }
        for phone in phones.reversed() { phone.detach() }
        #expect(world.database.spool(bobJID).count == 24)
        let laptop = TestClient(world, "bob@localhost", resource: "laptop")
        laptop.enable()
        laptop.send("<presence/>")
        let marks = try hearAll(world, laptop, isCounting: true)
        #expect(Set(marks) == Set(0..<24))
        #expect(marks.count == 24)
        #expect(laptop.takeEnd() == nil)
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test(
        "What is still being written when the spool has been read comes as well, before what is newer",
        arguments: [1, 150]
    )
    func written(count: Int) throws {
        let world = world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        TestClient.online(world, "bob@localhost", resume: true).detach()
        world.database.isSlow = true
        for number in 0..<count { chat(ann, number, bytes: 10) }
        // The connection that reads is not behind the one that writes.
        world.database.isSlow = false
        let bob = TestClient(world, "bob@localhost", resource: "two")
        bob.enable()
        bob.send("<presence/>")
        world.loop.run()
        chat(ann, count, bytes: 10)
        world.database.answer()
        #expect(try hearAll(world, bob, isCounting: true) == Array(0...count))
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("What waits in memory while the spool is read is bounded by its bytes")
    func waiting() throws {
        let world = world()
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        chat(ann, 0, bytes: 10)
        world.database.isSlow = true
        let bob = TestClient(world, "bob@localhost", resource: "one")
        for _ in 0..<6 {
            world.database.answer()
            world.loop.run()
        }
        bob.send("<presence/>")
        for number in 1...20 { chat(ann, number, bytes: 450_000) }
        let refused = try ann.stanzas().count { $0.stanzaError?.condition == .resourceConstraint }
        #expect((10..<20).contains(refused))
    }
}
