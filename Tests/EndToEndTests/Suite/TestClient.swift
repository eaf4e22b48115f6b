// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix
import SASL
import Synchronization
import TLS
import XML
import XMPPCore

/// A client that does as a test tells it: every stanza in and out is in the test's hands.
///
/// It knows streams, STARTTLS, SASL and binding (`TestClient+Login.swift`); it answers nothing by itself, not even a ping.
final class TestClient: Sendable {
    enum Received: Sendable {
        case streamOpened(StreamHeader)
        case element(Element)
        case streamClosed
        case disconnected
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// Connects to a port of 127.0.0.1, from `source` when given (any address of 127.0.0.0/8); `onEnd` is called when
    /// the connection ends.
    static func connect(
        port: Int,
        directTLS: Bool = false,
        source: String? = nil,
        contentNamespace: String = "jabber:client",
        onEnd: (@Sendable () -> Void)? = nil
    ) async throws -> TestClient {
        let inbox = Inbox()
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if directTLS {
                        try channel.pipeline.syncOperations.addHandler(TestClient.tlsHandler(alpn: ["xmpp-client"]))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        TestClientHandler(inbox: inbox, contentNamespace: contentNamespace)
                    )
                }
            }
        if let source { bootstrap = bootstrap.bind(to: try SocketAddress(ipAddress: source, port: 0)) }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port).get()
        if let onEnd { channel.closeFuture.whenComplete { _ in onEnd() } }
        return TestClient(channel: channel, inbox: inbox)
    }

    func send(_ xml: String) async throws {
        try await channel.writeAndFlush(ByteBuffer(string: xml))
    }

    func send(bytes: [UInt8]) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// Sends each byte in a packet, and over TLS in a record, of its own.
    func send(bytewise bytes: [UInt8]) async throws {
        for start in stride(from: 0, to: bytes.count, by: 512) where !hasEnded {
            let piece = bytes[start..<min(start + 512, bytes.count)]
            try await channel.eventLoop.flatSubmit { [channel] in
                for byte in piece.dropLast() { channel.writeAndFlush(ByteBuffer(bytes: [byte]), promise: nil) }
                return channel.writeAndFlush(ByteBuffer(bytes: piece.suffix(1)))
            }.get()
        }
    }

    /// The next thing that the server sent; fails after `seconds`, which bounds a broken run and decides nothing else.
    func next(within seconds: Int64 = 20) async throws -> Received {
        let timeout = channel.eventLoop.scheduleTask(in: .seconds(seconds)) { [inbox] in inbox.timeOut() }
        defer { timeout.cancel() }
        guard let received = await inbox.next() else {
            throw Failure("nothing was received within \(seconds) s")
        }
        return received
    }

    /// The next thing must be an element.
    func element() async throws -> Element {
        switch try await next() {
        case .element(let element): return element
        case let other: throw Failure("expected an element, got \(other)")
        }
    }

    /// Opens a stream, with further attributes of its root, and returns the server's features.
    @discardableResult
    func openStream(to domain: String, declarations: String = "") async throws -> Element {
        try await restartParser()
        try await send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                + "xmlns:stream='http://etherx.jabber.org/streams' to='\(domain)' version='1.0' \(declarations)>"
        )
        guard case .streamOpened = try await next() else { throw Failure("the server opened no stream") }
        return try await element()
    }

    /// Sends `<starttls/>` and does the handshake.
    func startTLS(serverName: String = "localhost") async throws {
        try await send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        let answer = try await element()
        guard answer.name == "proceed" else { throw Failure("no TLS: \(answer)") }
        try await channel.eventLoop.submit { [channel] in
            try channel.pipeline.syncOperations.addHandler(
                TestClient.tlsHandler(alpn: [], serverName: serverName),
                position: .first
            )
        }.get()
    }

    /// Sends bytes as they are, below TLS.
    func send(belowTLS bytes: [UInt8]) async throws {
        try await channel.eventLoop.flatSubmit { [channel] in
            do {
                let context = try channel.pipeline.syncOperations.context(handlerType: TLSHandler.self)
                let promise = channel.eventLoop.makePromise(of: Void.self)
                context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: promise)
                return promise.futureResult
            } catch {
                return channel.eventLoop.makeFailedFuture(error)
            }
        }.get()
    }

    /// A fresh parser for a new stream on this connection.
    func restartParser() async throws {
        try await channel.eventLoop.submit { [channel] in
            try channel.pipeline.syncOperations.handler(type: TestClientHandler.self).restart()
        }.get()
    }

    /// Loses the connection without a word.
    func breakConnection() async {
        try? await channel.close()
    }

    /// Loses the connection by a reset, so that nothing on its way arrives any more.
    func resetConnection() async {
        let options = channel as? any SocketOptionProvider
        try? await options?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        try? await channel.close()
    }

    var isConnected: Bool { channel.isActive }

    /// Whether the server ended the stream, or the connection.
    var hasEnded: Bool { inbox.hasEnded }

    private static func tlsHandler(alpn: [String], serverName: String = "localhost") throws -> TLSHandler {
        try TLSHandler(context: TLSContext(client: .init(alpn: alpn)), domain: serverName)
    }
}

/// What a test client received and no test step has taken yet.
final class Inbox: Sendable {
    private let stream: AsyncStream<TestClient.Received?>
    private let continuation: AsyncStream<TestClient.Received?>.Continuation
    private let ended = Atomic(false)

    /// Whether the server ended the stream, or the connection.
    var hasEnded: Bool { ended.load(ordering: .relaxed) }

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    func put(_ received: TestClient.Received) {
        switch received {
        case .streamClosed, .disconnected: ended.store(true, ordering: .relaxed)
        case .streamOpened, .element: break
        }
        continuation.yield(received)
    }

    func timeOut() { continuation.yield(nil) }

    func next() async -> TestClient.Received? {
        for await received in stream { return received }
        return nil
    }
}

/// Parses what the server sends.
final class TestClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let inbox: Inbox
    private let contentNamespace: String
    private var reader: StreamReader

    init(inbox: Inbox, contentNamespace: String) {
        self.inbox = inbox
        self.contentNamespace = contentNamespace
        reader = Self.makeReader(contentNamespace)
    }

    func restart() { reader = Self.makeReader(contentNamespace) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.receive(unwrapInboundIn(data))
        do {
            while let event = try reader.next() {
                switch event {
                case .streamOpened(let header): inbox.put(.streamOpened(header))
                case .element(let element): inbox.put(.element(try element.element()))
                case .streamClosed: inbox.put(.streamClosed)
                case .route: break
                }
            }
        } catch {
            inbox.put(.element(Element("unreadable", "urn:example:test", children: [.text("\(error)")])))
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { inbox.put(.disconnected) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private static func makeReader(_ contentNamespace: String) -> StreamReader {
        // A server may send more of everything than a client.
        var limits = StreamReader.Limits(nodes: .max)
        limits.stanzaBytes = 16 << 20
        return StreamReader(trust: .foreign, contentNamespaces: [contentNamespace], limits: limits)
    }
}
