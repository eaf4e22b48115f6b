// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOEmbedded
import Testing
import XMPPCore

@testable import SM

/// A C2S that was out of reach presents sessions whose resource another session has by now.
@Suite struct LateEdgeTests {
    private static let late = "c2s-2.jackdaw.internal"
    private let world = World(users: ["ann@localhost", "bob@localhost"])

    init() { world.connect(Self.late) }

    /// What the C2S says of a session of bob.
    private func present(_ name: String, token: String, isBroken: Bool = false, from instance: String) throws {
        let management = SessionMessage.Management(
            token: token,
            max: 600,
            base: 1,
            settled: 1,
            acknowledged: 0,
            sent: 0,
            lately: []
        )
        let presence = Stanza(kind: .presence, from: try JID("bob@localhost/one"))
        var state = SessionState()
        state.presence = presence
        let passport = SessionMessage.Passport(
            jid: try JID("bob@localhost/one"),
            address: "127.0.0.1",
            tls: "TLSv1.3",
            mechanism: "SCRAM-SHA-256",
            management: management,
            received: 1,
            state: state.encoded
        )
        say(SessionMessage(session: name, attach: 1, .handover(.passport(passport))), from: instance)
        if isBroken { say(SessionMessage(session: name, attach: 1, .detached), from: instance) }
    }

    private func say(_ message: SessionMessage, from instance: String) {
        world.server.received(message, from: instance)
        world.loop.run()
    }

    private func endPresentation(of instance: String) {
        say(SessionMessage(.handover(.presented(epoch: world.server.map.epoch))), from: instance)
    }

    private func end(of name: String) -> SessionMessage.End? {
        for message in world.take(session: name) {
            if case .end(let end) = message.content { return end }
        }
        return nil
    }

    @Test func `a session whose client has logged in anew does not come back`() throws {
        let ann = TestClient.online(world, "ann@localhost")
        let old = TestClient(world, "bob@localhost", resource: "one", instance: Self.late)
        old.enable()
        old.send("<presence/>")
        _ = old.take()
        world.disconnect(Self.late)
        let new = TestClient.online(world, "bob@localhost", resume: true)
        _ = world.take(session: old.name)
        world.connect(Self.late)
        try present(old.name, token: old.token ?? "", from: Self.late)
        endPresentation(of: Self.late)
        #expect(end(of: old.name)?.condition == .conflict)
        ann.send("<message to='bob@localhost' type='chat'><body>one</body></message>")
        #expect(bodies(new.take()) == ["one"])
        #expect(new.takeEnd() == nil)
    }

    @Test(arguments: [true, false]) func `of two that arrive together the one with a connection stays`(
        isFirst: Bool
    ) throws {
        world.server.mapChanged(OwnershipMap(epoch: 2, instances: [World.sm2]))
        world.server.mapChanged(OwnershipMap(epoch: 3, instances: [World.sm1]))
        world.loop.run()
        for isBroken in isFirst ? [false, true] : [true, false] {
            try present(
                isBroken ? "broken" : "living",
                token: isBroken ? "b" : "l",
                isBroken: isBroken,
                from: isBroken ? Self.late : World.c2s
            )
            endPresentation(of: isBroken ? Self.late : World.c2s)
        }
        #expect(end(of: "living") == nil)
        #expect(world.server.sessions["living"] != nil)
        #expect(world.server.sessions["broken"] == nil)
    }
}
