// SPDX-License-Identifier: Apache-2.0

import Config
import Testing

@testable import Router

/// XEP-0114 over real sockets: opening a stream, proving the secret, and every way to be refused.
@Suite struct ComponentStreamTests {
    @Test func `a component opens its stream and proves its secret`() async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            let header = try await client.open("chess.localhost")
            #expect(header.hasPrefix("<?xml version='1.0'?><stream:stream "))
            #expect(RawComponent.attribute("xmlns", in: header) == "jabber:component:accept")
            #expect(RawComponent.attribute("from", in: header) == "chess.localhost")
            #expect(RawComponent.attribute("id", in: header)?.count == 26)
            #expect(!header.contains("jackdaw"), "an external component sees nothing of ours")
            try await client.handshake(secret: "secret of chess.localhost")
            client.send("</stream:stream>")
            #expect(try await client.readToEnd() == "</stream:stream>")
        }
    }

    @Test func `a stream's id is never used again`() async throws {
        try await TestRouter.run { router in
            var ids: Set<String> = []
            for _ in 0..<8 {
                let header = try await router.connect().open("chess.localhost")
                ids.insert(try #require(RawComponent.attribute("id", in: header)))
            }
            #expect(ids.count == 8)
        }
    }

    @Test(arguments: [
        ("to='nobody.localhost'", "host-unknown"), ("to='example.org'", "host-unknown"),
        ("to='user@chess.localhost'", "host-unknown"), ("", "improper-addressing"), ("to=''", "improper-addressing"),
        ("to='@/'", "improper-addressing"),
    ])
    func `a stream header that names no component of ours is refused`(to: String, condition: String) async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            client.send(
                "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \(to)>"
            )
            let answer = try await client.readToEnd()
            #expect(answer.hasPrefix("<?xml version='1.0'?><stream:stream "))
            #expect(answer.contains("<stream:error><\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-streams'"))
            #expect(answer.hasSuffix("</stream:error></stream:stream>"))
        }
    }

    @Test(arguments: ["jabber:client", "jabber:server", "jabber:component:connect", "urn:x"])
    func `a stream for another content namespace is refused`(namespace: String) async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            client.send(
                "<stream:stream xmlns='\(namespace)' xmlns:stream='http://etherx.jabber.org/streams' "
                    + "to='chess.localhost'>"
            )
            #expect(try await client.readToEnd().contains("<invalid-namespace"))
        }
    }

    @Test(arguments: [
        "<handshake>wrong</handshake>", "<handshake/>", "<handshake><x/></handshake>",
        "<handshake xmlns='urn:x'>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>",
        "<message from='chess.localhost' to='localhost'/>", "<iq/>", "<x xmlns='urn:x'/>",
    ])
    func `what is not the right handshake ends the stream`(element: String) async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            try await client.open("chess.localhost")
            client.send(element)
            #expect(try await client.readToEnd().contains("<not-authorized"))
            #expect(try await router.inspect { $0.table.entries.isEmpty })
        }
    }

    @Test func `the secret of another component is a wrong one`() async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            try await client.open("chess.localhost")
            await #expect(throws: RawComponent.Ended.self) {
                try await client.handshake(secret: "secret of words.localhost")
            }
            #expect(try await client.history().contains("<not-authorized"))
        }
    }

    @Test func `a name that is taken is a conflict, and the one who has it stays`() async throws {
        try await TestRouter.run { router in
            let first = try await router.component("chess.localhost")
            let second = try await router.connect()
            try await second.open("chess.localhost")
            await #expect(throws: RawComponent.Ended.self) {
                try await second.handshake(secret: "secret of chess.localhost")
            }
            #expect(try await second.history().contains("<stream:error><conflict "))
            first.send("<message from='chess.localhost' to='chess.localhost' id='m1'/>")
            #expect(try await first.read(through: "/>").contains("id='m1'"))
        }
    }

    @Test func `a component that comes back finds its name free`() async throws {
        try await TestRouter.run { router in
            for _ in 0..<5 {
                let client = try await whenFree(router)
                client.send("</stream:stream>")
                #expect(try await client.readToEnd().hasSuffix("</stream:stream>"))
            }
            let killed = try await whenFree(router)
            try await killed.close()
            _ = try await whenFree(router)
        }
    }

    /// Binds the name; the router may learn of the end of a connection a moment after its peer.
    private func whenFree(_ router: TestRouter) async throws -> RawComponent {
        for _ in 0..<500 {
            if let component = try? await router.component("chess.localhost") { return component }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try await router.component("chess.localhost")
    }

    @Test func `every byte alone is as good as all in one piece`() async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            for byte in RawComponent.header("chess.localhost").utf8 { client.send(String(UnicodeScalar(byte))) }
            _ = try await client.read(through: "?>")
            _ = try await client.read(through: ">")
            try await client.handshake(secret: "secret of chess.localhost")
            let stanza = "<message from='chess.localhost' to='chess.localhost'><body>a &amp; b</body></message>"
            for byte in stanza.utf8 { client.send(String(UnicodeScalar(byte))) }
            #expect(try await client.read(through: "</message>").contains("<body>a &amp; b</body>"))
        }
    }

    @Test func `no handshake in time ends the connection`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.handshakeTimeout = .milliseconds(50) }) { router in
            let silent = try await router.connect()
            let opened = try await router.connect()
            try await opened.open("chess.localhost")
            #expect(try await silent.readToEnd().contains("<connection-timeout"))
            #expect(try await opened.readToEnd().contains("<connection-timeout"))
        }
    }

    @Test func `strangers make room for a component`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.connections = 8 }) { router in
            var strangers: [RawComponent] = []
            for index in 0..<20 {
                strangers.append(try await router.connect(from: "127.0.0.\(2 + index % 5)"))
            }
            let client = try await router.component("chess.localhost")
            #expect(try await strangers[0].readToEnd().contains("<resource-constraint"))
            #expect(try await router.inspect { $0.links.count } <= 8)
            client.send("<message from='chess.localhost' to='chess.localhost' id='m1'/>")
            _ = try await client.read(through: "id='m1'/>")
        }
    }

    @Test func `one address cannot hold all places of strangers`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.connectionsPerAddress = 3 }) { router in
            let other = try await router.connect(from: "127.0.0.9")
            try await other.open("chess.localhost")
            for _ in 0..<10 { _ = try await router.connect(from: "127.0.0.8").open("words.localhost") }
            #expect(try await router.inspect { $0.links.count } == 4)
            try await other.handshake(secret: "secret of chess.localhost")
        }
    }

    @Test func `bound components leave no room for strangers at the limit`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.connections = 2 }) { router in
            let one = try await router.component("chess.localhost")
            let two = try await router.component("words.localhost")
            let three = try await router.connect()
            #expect(try await three.readToEnd().contains("<resource-constraint"))
            one.send("<message from='chess.localhost' to='words.localhost' id='m1'/>")
            _ = try await two.read(through: "id='m1'/>")
        }
    }

    @Test func `a changed configuration ends what it does not allow any more`() async throws {
        try await TestRouter.run { router in
            let removed = try await router.component("chess.localhost")
            let changed = try await router.component("words.localhost")
            let kept = try await router.component("rooms.localhost")
            var configuration = TestRouter.configuration
            configuration.components.removeAll { $0.names == ["chess.localhost"] }
            for index in configuration.components.indices
            where configuration.components[index].names == ["words.localhost"] {
                configuration.components[index].secretFile = "another"
            }
            configuration.components.append(TestRouter.component("new.localhost"))
            try await router.apply(configuration)
            #expect(try await removed.readToEnd().contains("<host-gone"))
            #expect(try await changed.readToEnd().contains("<reset"))
            _ = try await router.component("new.localhost")
            kept.send("<message from='rooms.localhost' to='new.localhost' id='m1'/>")
            kept.send("</stream:stream>")
            #expect(try await kept.readToEnd() == "</stream:stream>")
        }
    }

    @Test func `a stopping router says so`() async throws {
        let router = try await TestRouter.start(TestRouter.configuration)
        let client = try await router.component("chess.localhost")
        async let stopped: Void = router.service.stop()
        #expect(try await client.readToEnd().contains("<system-shutdown"))
        try await stopped
    }
}
