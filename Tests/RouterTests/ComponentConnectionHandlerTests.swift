// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import Router

/// What depends on the clock and on turns of the loop, without sockets.
@Suite struct ComponentConnectionHandlerTests {
    /// A router whose connections are embedded channels on one loop that the test turns.
    private struct EmbeddedRouter {
        let loop = EmbeddedEventLoop()
        let router: StanzaRouter

        init(_ change: (inout JackdawConfiguration.RouterLimits) -> Void = { _ in }) {
            let loop = self.loop
            var limits = JackdawConfiguration.RouterLimits()
            change(&limits)
            self.router = StanzaRouter(
                name: "router-1.jackdaw.internal",
                epoch: "e",
                eventLoop: loop,
                directory: TestRouter.directory(),
                limits: limits,
                responder: AdminResponder(eventLoop: loop) { [] },
                metrics: RouterMetrics(MetricsRegistry()),
                logger: Logger(label: "router") { _ in SwiftLogNoOpLogHandler() }
            )
        }

        /// A connection; what is in `handlers` stands between it and the socket.
        func connect(
            _ handlers: [any ChannelHandler & Sendable] = [],
            from address: String = "127.0.0.1"
        ) throws -> EmbeddedChannel {
            let channel = EmbeddedChannel(handlers: handlers, loop: self.loop)
            let handler = ComponentConnectionHandler(router: self.router, address: address)
            try channel.pipeline.syncOperations.addHandler(handler)
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            return channel
        }

        /// A component after its handshake.
        func component(_ name: String, _ handlers: [any ChannelHandler & Sendable] = []) throws -> EmbeddedChannel {
            let channel = try self.connect(handlers)
            try channel.writeInbound(ByteBuffer(string: RawComponent.header(name)))
            let id = try #require(RawComponent.attribute("id", in: try self.written(channel).joined()))
            let proof = ComponentHandshake.proof(streamID: id, secret: "secret of \(name)")
            try channel.writeInbound(ByteBuffer(string: "<handshake>\(proof)</handshake>"))
            #expect(try self.written(channel) == ["<handshake/>"])
            return channel
        }

        /// Turns the loop, and gives each write since the last call.
        func written(_ channel: EmbeddedChannel) throws -> [String] {
            self.loop.run()
            var writes: [String] = []
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) { writes.append(String(buffer: buffer)) }
            return writes
        }
    }

    /// A socket that is full: what is flushed stays.
    private final class FullSocket: ChannelOutboundHandler, Sendable {
        typealias OutboundIn = ByteBuffer

        func flush(context: ChannelHandlerContext) {}
    }

    @Test func `a burst is one write for each destination`() throws {
        let router = EmbeddedRouter()
        let chess = try router.component("chess.localhost")
        let words = try router.component("words.localhost")
        let rooms = try router.component("rooms.localhost")
        let burst = (1...5).map { number in
            ["words", "rooms", "nowhere"].map {
                "<presence from='chess.localhost' to='\($0).localhost' id='\(number)'/>"
            }.joined()
        }.joined()
        try chess.writeInbound(ByteBuffer(string: burst))
        for (channel, name) in [(words, "words"), (rooms, "rooms")] {
            let expected = (1...5).map { "<presence from='chess.localhost' to='\(name).localhost' id='\($0)'/>" }
            #expect(try router.written(channel) == [expected.joined()])
        }
        let bounces = try router.written(chess)
        #expect(bounces.count == 1)
        #expect(bounces.joined().count(of: "<remote-server-not-found") == 5)
    }

    @Test func `strangers of one IPv6 prefix count as one address`() throws {
        let embedded = EmbeddedRouter { $0.connectionsPerAddress = 2 }
        let first = try embedded.connect(from: "2001:db8:0:1::1")
        let other = try embedded.connect(from: "2001:db8:0:2::1")
        _ = try embedded.connect(from: "2001:db8:0:1::2")
        #expect(first.isActive)
        _ = try embedded.connect(from: "2001:db8:0:1::3")
        #expect(try embedded.written(first).joined().contains("<resource-constraint "))
        #expect(other.isActive)
    }

    @Test func `a silent component is probed with white space, a busy one is not`() throws {
        let router = EmbeddedRouter()
        let chess = try router.component("chess.localhost")
        router.loop.advanceTime(by: .seconds(60))
        #expect(try router.written(chess) == [], "the handshake was answered in this interval")
        router.loop.advanceTime(by: .seconds(60))
        #expect(try router.written(chess) == [" "])
        router.loop.advanceTime(by: .seconds(60))
        #expect(try router.written(chess) == [], "the space was written in this interval")
        #expect(chess.isActive)
    }

    @Test func `a link that takes nothing of what waits for it is closed`() throws {
        let router = EmbeddedRouter()
        let words = try router.component("words.localhost")
        let chess = try router.component("chess.localhost")
        try chess.pipeline.syncOperations.addHandler(FullSocket(), position: .first)
        try words.writeInbound(ByteBuffer(string: "<presence from='words.localhost' to='chess.localhost'/>"))
        router.loop.advanceTime(by: .seconds(60))
        #expect(chess.isActive, "once is a slow reader")
        router.loop.advanceTime(by: .seconds(60))
        #expect(!chess.isActive)
        #expect(router.router.table.isServed("chess.localhost") == false)
        #expect(router.router.metrics.resets.value == 1)
        #expect(words.isActive)
    }

    @Test func `the handshake has its time, to the second`() throws {
        let router = EmbeddedRouter()
        let stranger = try router.connect()
        router.loop.advanceTime(by: .seconds(29))
        #expect(try router.written(stranger) == [])
        router.loop.advanceTime(by: .seconds(1))
        #expect(try router.written(stranger).joined().contains("<connection-timeout"))
        #expect(router.router.links.isEmpty)
    }

    @Test func `a bound component has no handshake to wait for`() throws {
        let router = EmbeddedRouter()
        let chess = try router.component("chess.localhost")
        router.loop.advanceTime(by: .minutes(10))
        #expect(chess.isActive)
    }

    @Test func `a component that closes its half gets the end of the stream`() throws {
        let router = EmbeddedRouter()
        let chess = try router.component("chess.localhost")
        chess.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(try router.written(chess) == ["</stream:stream>"])
        #expect(router.router.links.isEmpty)
    }
}

extension String {
    fileprivate func count(of text: String) -> Int {
        self.indices.count { self[$0...].hasPrefix(text) }
    }
}
