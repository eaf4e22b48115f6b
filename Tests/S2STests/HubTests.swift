// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import NIOPosix
import Testing
import XML
import XMPPCore

@testable import S2S

/// Hubs that talk over sockets.
@Suite(.timeLimit(.minutes(2))) struct HubTests {
    private static func message(_ id: Int, from: String, to: String) throws -> Stanza {
        Stanza(kind: .message, to: try JID("x@\(to)"), from: try JID("y@\(from)"), id: "\(id)")
    }

    @Test func `Stanzas go both ways by dialback, in order and once`() async throws {
        let stage = try await HubStage()
        for index in 0...1 {
            let (from, to) = (HubStage.names[index], HubStage.names[1 - index])
            let messages = try (1...50).map { try Self.message($0, from: from, to: to) }
            try await stage.on(index) { side in
                for (number, message) in messages.enumerated() {
                    side.hub.send(message, ticket: ForwardOrigin(instance: "sm-1", token: UInt64(number)))
                }
            }
        }
        for index in 0...1 {
            try await stage.wait(index) { $0.suite.delivered.count >= 50 && $0.suite.settled.count >= 50 }
            let (ids, senders) = try await stage.on(index) { side in
                (side.suite.delivered.compactMap(\.id), Set(side.suite.delivered.compactMap(\.from?.domain)))
            }
            #expect(ids == (1...50).map { "\($0)" })
            #expect(senders == [HubStage.names[1 - index]])
            #expect(try await stage.on(index) { $0.suite.settled.map(\.token) } == Array(0..<50))
            #expect(try await stage.on(index) { $0.suite.failed }.isEmpty)
        }
        try await stage.close()
    }

    @Test func `A wrong key ends the stream, and nothing is delivered`() async throws {
        let stage = try await HubStage()
        let peer = try await RawPeer(stage)
        try await peer.prove(key: "wrong")
        try await peer.hears("<not-authorized")
        #expect(try await peer.heard.contains("type='invalid'"))
        peer.say("<message from='y@one.example' to='x@two.example' id='1'/></stream:stream>")
        try await peer.channel.closeFuture.get()
        #expect(try await stage.on(1) { $0.suite.delivered }.isEmpty)
        try await stage.close()
    }

    @Test func `What a peer said before it heard that the stream ends is delivered`() async throws {
        let stage = try await HubStage()
        let peer = try await RawPeer(stage)
        try await peer.prove(key: nil)
        try await peer.hears("type='valid'")
        try await stage.on(1) { side in
            for stream in Array(side.hub.streams.values) where !stream.isInitiating { stream.finish() }
        }
        try await peer.hears("</stream:stream>")
        peer.say("<message from='y@one.example' to='x@two.example' id='late'/></stream:stream>")
        try await peer.channel.closeFuture.get()
        #expect(try await stage.on(1) { $0.suite.delivered.compactMap(\.id) } == ["late"])
        try await stage.close()
    }

    @Test func `A lost stream is resumed, though the peer has opened one that carries its pair`() async throws {
        let stage = try await HubStage()
        let (one, two) = (HubStage.names[0], HubStage.names[1])
        let messages = try (1...3).map { try Self.message($0, from: one, to: two) }
        try await stage.on(0) { $0.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        // The stream counts: what it was given is acknowledged.
        try await stage.wait(0) {
            $0.suite.settled.count == 1 && $0.hub.streams.values.contains { $0.ledger.token != nil }
        }
        try await stage.on(0) { side in
            side.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-1", token: 2))
            // Before it was written.
            for stream in Array(side.hub.streams.values) {
                stream.abort(FederationFailure(.remoteServerTimeout, "cut"))
            }
        }
        let answer = try Self.message(1, from: two, to: one)
        try await stage.wait(1) { $0.hub.streams.isEmpty }
        try await stage.on(1) { $0.hub.send(answer, ticket: nil) }
        try await stage.wait(0) { $0.suite.delivered.count == 1 }
        try await stage.on(0) { $0.hub.send(messages[2], ticket: ForwardOrigin(instance: "sm-1", token: 3)) }
        try await stage.wait(0) { $0.suite.settled.count + $0.suite.failed.count == 3 }
        #expect(try await stage.on(1) { $0.suite.delivered.compactMap(\.id) } == ["1", "2", "3"])
        #expect(try await stage.on(0) { $0.suite.failed }.isEmpty)
        try await stage.close()
    }

    @Test func `What a peer may not have got is in doubt when it counts anew on another stream`() async throws {
        let stage = try await HubStage()
        let (one, two) = (HubStage.names[0], HubStage.names[1])
        let messages = try (1...2).map { try Self.message($0, from: one, to: two) }
        try await stage.on(0) { $0.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        try await stage.wait(0) {
            $0.suite.settled.count == 1 && $0.hub.streams.values.contains { $0.ledger.token != nil }
        }
        let answer = try Self.message(1, from: two, to: one)
        try await stage.on(0) { $0.suite.isHolding = true }
        try await stage.on(1) { $0.hub.send(answer, ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        try await stage.wait(0) { $0.suite.delivered.count == 1 }
        // As a process that is killed: it knows nothing of the stream.
        try await stage.on(0) { side in
            for stream in Array(side.hub.streams.values) {
                stream.abort(FederationFailure(.remoteServerTimeout, "killed"))
            }
            side.hub.lostOutgoing = [:]
        }
        try await stage.wait(1) { $0.hub.lostIncoming.count == 1 }
        try await stage.on(0) { $0.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-1", token: 2)) }
        try await stage.wait(1) { $0.suite.failed.count == 1 }
        #expect(try await stage.on(1) { $0.suite.failed.first?.hasPrefix("remote-server-timeout") } == true)
        #expect(try await stage.on(1) { $0.hub.lostIncoming.isEmpty })
        try await stage.close()
    }

    @Test func `What waits for its link can be taken back`() async throws {
        let stage = try await HubStage()
        let messages = try (1...2).map { try Self.message($0, from: "one.example", to: "two.example") }
        let withdrawn = try await stage.on(0) { side in
            // In the same turn, so that there is no link yet.
            side.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1))
            side.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-2", token: 2))
            return side.hub.withdraw { $0.instance == "sm-1" }
        }
        #expect(withdrawn == [ForwardOrigin(instance: "sm-1", token: 1)])
        try await stage.wait(0) { $0.suite.settled.count == 1 }
        #expect(try await stage.on(1) { $0.suite.delivered.compactMap(\.id) } == ["2"])
        try await stage.close()
    }

    @Test func `What a peer sent is acknowledged before its stream ends with the process`() async throws {
        let stage = try await HubStage()
        let messages = try (1...2).map { try Self.message($0, from: "one.example", to: "two.example") }
        try await stage.on(0) { $0.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        try await stage.wait(0) { $0.suite.settled.count == 1 }
        try await stage.on(1) { $0.suite.isHolding = true }
        try await stage.on(0) { $0.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-1", token: 2)) }
        try await stage.wait(1) { $0.suite.delivered.count == 2 }
        try await stage.on(1) { side in
            side.hub.drain()
            side.suite.isHolding = false
        }
        try await stage.wait(0) { $0.suite.settled.count + $0.suite.failed.count == 2 }
        #expect(try await stage.on(0) { $0.suite.failed }.isEmpty)
        try await stage.close()
    }

    @Test func `At its end a process waits for the acknowledgements of its peers, and leaves what it has not sent`()
        async throws
    {
        let stage = try await HubStage()
        let messages = try (1...3).map { try Self.message($0, from: "one.example", to: "two.example") }
        try await stage.on(0) { $0.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        try await stage.wait(0) { $0.suite.settled.count == 1 }
        try await stage.on(1) { $0.suite.isHolding = true }
        try await stage.on(0) { side in
            side.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-1", token: 2))
            side.hub.drain()
            side.hub.send(messages[2], ticket: ForwardOrigin(instance: "sm-1", token: 3))
        }
        try await stage.wait(1) { $0.suite.delivered.count == 2 }
        try await stage.on(1) { $0.suite.isHolding = false }
        try await stage.wait(0) { $0.suite.settled.count + $0.suite.failed.count == 2 && $0.hub.streams.isEmpty }
        #expect(try await stage.on(0) { $0.suite.failed }.isEmpty)
        #expect(try await stage.on(0) { $0.suite.left } == ["3"])
        try await stage.close()
    }

    @Test func `What waits is not written faster than the socket takes it`() async throws {
        let stage = try await HubStage { configuration in
            configuration.s2s.limits.outputBytes = 64 << 10
            configuration.s2s.limits.queueBytes = 64 << 20
        }
        let body = Element("body", Namespace.client, text: String(repeating: "x", count: 4_000))
        let (to, from) = (try JID("x@two.example"), try JID("y@one.example"))
        try await stage.on(0) { side in
            for number in 1...1_000 {
                let message = Stanza(kind: .message, to: to, from: from, id: "\(number)", payload: [body])
                side.hub.send(message, ticket: ForwardOrigin(instance: "sm-1", token: UInt64(number)))
            }
        }
        try await stage.wait(0) { $0.suite.settled.count + $0.suite.failed.count == 1_000 }
        #expect(try await stage.on(0) { $0.suite.failed }.isEmpty)
        #expect(try await stage.on(1) { $0.suite.delivered.compactMap(\.id) } == (1...1_000).map { "\($0)" })
        try await stage.close()
    }

    @Test func `A link over which nothing goes is closed, and the next stanza opens another one`() async throws {
        let stage = try await HubStage()
        let messages = try (1...2).map { try Self.message($0, from: "one.example", to: "two.example") }
        try await stage.on(0) { $0.hub.send(messages[0], ticket: ForwardOrigin(instance: "sm-1", token: 1)) }
        try await stage.wait(0) { $0.suite.settled.count == 1 }
        // The idle time is 10 minutes.
        try await stage.on(0) { $0.hub.look(now: .now() + .minutes(4)) }
        #expect(try await stage.on(0) { $0.hub.streams.values.contains { !$0.isClosing && !$0.pairs.isEmpty } })
        try await stage.on(0) { $0.hub.look(now: .now() + .minutes(11)) }
        // Those that were there to ask about keys alone have no pairs, and end by themselves.
        for index in 0...1 {
            try await stage.wait(index) { $0.hub.streams.values.allSatisfy { $0.pairs.isEmpty } }
        }
        try await stage.on(0) { $0.hub.send(messages[1], ticket: ForwardOrigin(instance: "sm-1", token: 2)) }
        try await stage.wait(0) { $0.suite.settled.count + $0.suite.failed.count == 2 }
        #expect(try await stage.on(1) { $0.suite.delivered.compactMap(\.id) } == ["1", "2"])
        #expect(try await stage.on(0) { $0.suite.failed }.isEmpty)
        try await stage.close()
    }

    @Test func `A test tells each step, and the lists have the link`() async throws {
        let stage = try await HubStage()
        let box = stage.sides[0]
        let steps = try await stage.eventLoop.flatSubmit { () -> EventLoopFuture<[String]> in
            guard let side = box.value else { return stage.eventLoop.makeFailedFuture(ChannelError.eof) }
            return side.hub.test("two.example", from: "one.example", within: .seconds(60))
        }.get()
        #expect(steps.first?.hasPrefix("the configuration says that it is at 127.0.0.1:") == true)
        #expect(steps.contains { $0.hasPrefix("TLS: TLSv1.3") } && steps.contains { $0.hasPrefix("certificate: it ") })
        #expect(steps.suffix(2).first == "dialback: two.example took our key for one.example")
        #expect(steps.last == "good: two.example can be written to")
        let message = try Self.message(1, from: "one.example", to: "two.example")
        try await stage.on(0) { $0.hub.send(message, ticket: nil) }
        try await stage.wait(1) { $0.suite.delivered.count == 1 }
        for (index, direction) in [(0, "out"), (1, "in")] {
            let row = try await stage.on(index) { side in
                side.hub.rows().first { row in
                    row.contains { $0.name == "state" && $0.value == "ready" }
                        && row.contains { $0.name == "direction" && [direction, "both"].contains($0.value) }
                }
            }
            let fields = Dictionary(uniqueKeysWithValues: try #require(row).map { ($0.name, $0.value) })
            #expect(fields["domain"] == HubStage.names[1 - index] && fields["local"] == HubStage.names[index])
            #expect(fields["transport"] == "starttls" && fields["tls"] == "TLSv1.3")
            #expect(fields["authentication"] == "dialback" && fields["last_error"] == "")
        }
        // Both ends of it are gone, and nothing is left to be listed.
        let closed = try await stage.on(0) { $0.hub.close("two.example") }
        #expect(closed > 0)
        for index in 0...1 { try await stage.wait(index) { $0.hub.rows().isEmpty } }
        try await stage.close()
    }
}

/// Something that connects to `two.example` and says that it is `one.example`.
private struct RawPeer {
    let channel: any Channel
    private let collector: NIOLoopBound<Collector>

    init(_ stage: HubStage) async throws {
        let port = stage.listeners[1].localAddress?.port ?? 0
        let loop = stage.eventLoop
        let collector = try await loop.submit { NIOLoopBound(Collector(), eventLoop: loop) }.get()
        self.collector = collector
        self.channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(collector.value)
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    var heard: String {
        get async throws {
            let collector = self.collector
            return try await self.channel.eventLoop.submit { collector.value.text }.get()
        }
    }

    func say(_ text: String) { self.channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }

    func hears(_ text: String) async throws {
        while try await !self.heard.contains(text) { try await Task.sleep(for: .milliseconds(5)) }
    }

    /// Opens the stream and gives a key; nil: the right one.
    func prove(key: String?) async throws {
        self.say(
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' version='1.0' "
                + "xmlns:stream='http://etherx.jabber.org/streams' from='one.example' to='two.example'>"
        )
        try await self.hears("</stream:features>")
        let parts = try await self.heard.split(whereSeparator: { $0 == "'" || $0 == "\"" || $0 == " " })
        let index = try #require(parts.firstIndex(of: "id="))
        let good = DialbackKey(secret: "one.example")
            .key(receiving: "two.example", originating: "one.example", streamID: String(parts[index + 1]))
        self.say("<db:result from='one.example' to='two.example'>\(key ?? good)</db:result>")
    }
}

/// Keeps what comes as text.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private(set) var text = ""

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.text += String(buffer: self.unwrapInboundIn(data))
    }
}
