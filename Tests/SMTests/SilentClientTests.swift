// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// A client without XEP-0198 that only listens, and one that comes back to much.
@Suite struct SilentClientTests {
    private let world = World(users: ["ann@localhost", "bob@localhost"]) { $0.sm.limits.unacknowledgedStanzas = 300 }

    private func chat(_ sender: TestClient, _ count: Int) {
        for number in 0..<count {
            sender.send("<message to='bob@localhost' type='chat' id='\(number)'><body>x</body></message>")
        }
    }

    @Test("A client that only listens is pinged, and its answer acknowledges: it is not ended for its silence")
    func listener() throws {
        let ann = TestClient.online(world, "ann@localhost", resume: true)
        let bob = TestClient.online(world, "bob@localhost")
        var delivered = 0
        for _ in 0..<10 {
            chat(ann, 100)
            for stanza in try bob.stanzas() {
                if stanza.kind == .message { delivered += 1 }
                if stanza.kind == .iq, let id = stanza.id {
                    #expect(stanza.payloadTag?.namespace == Namespace.ping)
                    bob.send("<iq type='result' to='localhost' id='\(id)'/>")
                }
            }
        }
        #expect(delivered == 1_000)
        #expect(bob.takeEnd() == nil)
        #expect(world.database.spool(World.bare("bob@localhost")).isEmpty)
    }

    @Test("The spool waits while the link has much to write")
    func congestion() throws {
        let ann = TestClient.online(world, "ann@localhost")
        chat(ann, 20)
        world.stuckBytes = 5 << 20
        let bob = TestClient(world, "bob@localhost")
        bob.send("<presence/>")
        #expect(try bob.stanzas().allSatisfy { $0.kind != .message })
        world.stuckBytes = 0
        world.loop.advanceTime(by: .milliseconds(10))
        #expect(try bob.stanzas().filter { $0.kind == .message }.count == 20)
    }
}
