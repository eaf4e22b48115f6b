// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// Much at once for one client, or for many: the link to the router never has more to write than it holds, and no
/// client more than C2S holds for it.
@Suite struct PacingTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"])
    private let bobJID = World.bare("bob@localhost")

    private func body(_ bytes: Int, _ mark: String = "") -> String {
        "<body>\(mark)\(String(repeating: "x", count: bytes))</body>"
    }

    private func chat(_ sender: TestClient, _ bytes: Int, _ mark: String = "", to: String = "bob@localhost") {
        sender.send("<message to='\(to)' type='chat'>\(body(bytes, mark))</message>")
    }

    /// Lets the link write, and the server send what waited for it.
    private func turn(_ times: Int = 1) {
        for _ in 0..<times { world.loop.advanceTime(by: .milliseconds(5)) }
    }

    private func received(_ client: TestClient) throws -> [Stanza] {
        try client.stanzas().filter { $0.kind == .message }
    }

    @Test("A message for more sessions than the link's queue has room for reaches them all, and the link stays")
    func copies() throws {
        let clients = (0..<40).map { TestClient.online(world, "ann@localhost", resource: "r\($0)", resume: true) }
        for client in clients { _ = client.take() }
        chat(clients[0], 500_000, to: "ann@localhost")
        #expect(world.resets == 0)
        turn(20)
        #expect(world.resets == 0)
        for client in clients { #expect(try received(client).count == 1) }
    }

    @Test("Presence for many contacts elsewhere waits for the link, in order, and the link stays")
    func fanOut() throws {
        let contacts = (0..<300).map { "c\($0)@far.example" }
        for contact in contacts { world.befriend("ann@localhost", contact, "from") }
        let ann = TestClient(world, "ann@localhost", resource: "one")
        ann.send("<presence><status>\(String(repeating: "x", count: 60_000))</status></presence>")
        ann.send("<message to='c0@far.example' id='last'><body>x</body></message>")
        #expect(world.resets == 0)
        turn(20)
        #expect(world.resets == 0)
        let outside = world.takeOutside()
        #expect(outside.count == 301)
        #expect(outside.last?.contains("id='last'") == true)
    }

    @Test("A stanza for elsewhere that waits for the link is in custody; a link that is lost gives its error")
    func outsideCustody() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        world.stuckBytes = 5 << 20
        ann.send("<message to='c0@far.example' id='m'><body>x</body></message>")
        #expect(ann.takeSettled() == 1)
        #expect(world.takeOutside().isEmpty)
        world.server.failOutside()
        world.stuckBytes = 0
        turn(20)
        let error = try #require(try ann.stanzas().first)
        #expect(error.id == "m")
        #expect(error.stanzaError?.type == .wait)
        #expect(world.server.sessions[ann.name]?.acknowledgement == 1)
        ann.acknowledge()
        #expect(world.server.sessions[ann.name]?.acknowledgement == 2)
    }

    @Test("Past its bound what is for elsewhere is refused: an error for a message, nothing for presence")
    func outsideBound() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        world.stuckBytes = 5 << 20
        for number in 0..<40 {
            ann.send("<message to='c0@far.example' id='\(number)'>\(body(500_000))</message>")
        }
        ann.send("<presence to='c0@far.example'/>")
        #expect(world.resets == 0)
        world.stuckBytes = 0
        turn(20)
        let errors = try ann.stanzas()
        #expect(!errors.isEmpty)
        #expect(errors.allSatisfy { $0.kind == .message && $0.stanzaError?.condition == .resourceConstraint })
        #expect(world.takeOutside().filter { $0.hasPrefix("<message") }.count == 40 - errors.count)
        ann.acknowledge()
        #expect(ann.takeSettled() == ann.sent)
    }

    @Test("Sessions that resume at once get what they did not acknowledge at the pace of the link")
    func resumption() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let clients = (0..<40).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        for client in clients { _ = client.take() }
        chat(ann, 400_000, "1")
        turn(20)
        chat(ann, 400_000, "2")
        turn(20)
        let counted = clients.map { UInt32($0.last ?? 0) }
        for client in clients {
            #expect(try received(client).count == 2)
            client.detach()
        }
        world.isStuck = true
        for (client, last) in zip(clients, counted) { client.resume(h: last - 2) }
        #expect(world.resets == 0)
        world.isStuck = false
        turn(40)
        #expect(world.resets == 0)
        for client in clients { #expect(try received(client).count == 2) }
    }

    @Test("While the link is stuck a session ends at its own bound, the link stays, and its messages wait")
    func bound() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: true)
        world.stuckBytes = 5 << 20
        for number in 0..<40 { chat(ann, 500_000, "\(number).") }
        #expect(world.resets == 0)
        #expect(bob.takeEnd()?.condition == .resourceConstraint)
        #expect(world.database.spool(bobJID).count == 40)
        #expect(ann.takeEnd() == nil)
    }

    @Test("A client gets no more than C2S holds for it before it acknowledges", arguments: [true, false])
    func window(isCounting: Bool) throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost", resume: isCounting)
        for number in 0..<20 { chat(ann, 400_000, "\(number).") }
        var marks: [String] = []
        for _ in 0..<20 {
            let stanzas = try bob.stanzas()
            #expect(stanzas.reduce(0) { $0 + $1.encodedSize } < 3 << 20)
            marks += bodies(stanzas.map(World.text)).map { String($0.prefix { $0 != "." }) }
            if isCounting {
                bob.acknowledge(UInt32(bob.last ?? 0))
            } else if let ping = stanzas.first(where: { $0.kind == .iq }) {
                bob.send("<iq type='result' to='localhost' id='\(ping.id ?? "")'/>")
            }
        }
        #expect(marks == (0..<20).map { "\($0)" })
        #expect(bob.takeEnd() == nil)
        #expect(world.database.spool(bobJID).isEmpty)
    }

    @Test("A C2S that reads nothing for a while holds up its own sessions, not the link, and gets all of it later")
    func slowC2S() throws {
        world.connect("c2s-2.jackdaw.internal")
        world.silentInstances = [World.c2s]
        let ann = TestClient(world, "ann@localhost", resource: "one", instance: "c2s-2.jackdaw.internal")
        ann.send("<presence/>")
        let clients = (0..<40).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        for client in clients { _ = client.take() }
        chat(ann, 500_000, "1")
        turn(20)
        #expect(world.sentBytes(to: World.c2s) < 5 << 20)
        ann.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        #expect(try ann.stanzas().last?.id == "p")
        world.silentInstances = []
        turn(20)
        for client in clients { #expect(try received(client).count == 1) }
    }

    @Test("A C2S that is gone while it owes an echo owes none when it is back")
    func lostEcho() throws {
        world.silentInstances = [World.c2s]
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let clients = (0..<20).map { TestClient.online(world, "bob@localhost", resource: "r\($0)", resume: true) }
        for client in clients { _ = client.take() }
        chat(ann, 500_000, "1")
        turn(20)
        let before = try clients.map { try received($0).count }
        #expect(before.contains(0) && before.contains(1))
        world.disconnect(World.c2s)
        world.silentInstances = []
        world.connect(World.c2s, epoch: "e2")
        for client in clients { client.resume(h: UInt32(client.last ?? 0)) }
        turn(20)
        for (client, count) in zip(clients, before) { #expect(try received(client).count == 1 - count) }
    }

    @Test("What waits when a client enables stream management is numbered from 1, after it")
    func enableWhileWaiting() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        for number in 0..<5 { chat(ann, 400_000, "\(number).") }
        let first = try received(bob).count
        bob.enable()
        let second = try received(bob).count
        #expect(first + second == 5)
        #expect(bob.last == UInt64(second))
    }

    @Test("A presence that would be broadcast and is too large is refused, and nothing changes")
    func largePresence() throws {
        world.befriend("ann@localhost", "c@far.example", "from")
        let ann = TestClient.online(world, "ann@localhost")
        _ = world.takeOutside()
        ann.send("<presence id='p'><status>\(String(repeating: "x", count: 70_000))</status></presence>")
        ann.send("<presence type='unavailable'><status>\(String(repeating: "x", count: 70_000))</status></presence>")
        let errors = try ann.stanzas()
        #expect(errors.count == 2)
        #expect(errors.allSatisfy { $0.stanzaError?.condition == .policyViolation })
        #expect(world.takeOutside().isEmpty)
        #expect(world.server.sessions[ann.name]?.isAvailable == true)
    }
}
