// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded

@testable import TLS

/// A client and a server whose sockets are two queues of bytes.
final class BackToBack {
    /// Collects what a `TLSHandler` says to the application.
    final class Recorder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var text = ""
        var pieces = 0
        var info: TLSInfo?
        var peerClosed = false
        var errors: [TLSError] = []
        /// Called in the middle of an event, for tests of re-entrancy.
        var onHandshake: ((ChannelHandlerContext) -> Void)?

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text += String(buffer: unwrapInboundIn(data))
            pieces += 1
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            switch event as? TLSEvent {
            case .handshakeCompleted(let info):
                self.info = info
                onHandshake?(context)
            case .peerClosed: peerClosed = true
            case nil: break
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            if let error = error as? TLSError { errors.append(error) }
        }
    }

    let client = EmbeddedChannel()
    let server = EmbeddedChannel()
    let clientRecorder = Recorder()
    let serverRecorder = Recorder()
    let clientTLS: TLSHandler
    let serverTLS: TLSHandler
    /// The most bytes that arrive in one piece.
    var pieceSize = Int.max

    init(
        server serverContext: TLSContext,
        defaultDomain: String? = nil,
        client configuration: TLSContext.ClientConfiguration = .init(),
        sni: String? = "one.example",
        dane: DANE? = nil
    ) throws {
        clientTLS = try TLSHandler(context: TLSContext(client: configuration), domain: sni, dane: dane)
        serverTLS = try TLSHandler(context: serverContext, domain: defaultDomain)
        try server.pipeline.syncOperations.addHandlers(serverTLS, serverRecorder)
        try client.pipeline.syncOperations.addHandlers(clientTLS, clientRecorder)
    }

    func connect() throws {
        try server.connect(to: .init(unixDomainSocketPath: "/server")).wait()
        try client.connect(to: .init(unixDomainSocketPath: "/client")).wait()
        try pump()
    }

    /// The client renews its keys and wants the server to do the same (RFC 8446 §4.6.3).
    func updateKeys() throws {
        clientTLS.updateKeys()
        client.writeAndFlush(ByteBuffer(), promise: nil)
    }

    /// Carries bytes both ways until neither side has more to say.
    func pump() throws {
        var moved = true
        while moved {
            moved = try carry(from: client, to: server)
            moved = try carry(from: server, to: client) || moved
        }
    }

    /// Carries what one side sent; true if there was something.
    @discardableResult
    func carry(from source: EmbeddedChannel, to sink: EmbeddedChannel) throws -> Bool {
        var moved = false
        while var buffer = try source.readOutbound(as: ByteBuffer.self) {
            moved = true
            while let piece = buffer.readSlice(length: min(pieceSize, buffer.readableBytes)), piece.readableBytes > 0 {
                guard sink.isActive else { break }
                // What a bad peer causes is recorded as an error of the handler's.
                _ = try? sink.writeInbound(piece)
            }
        }
        return moved
    }

    func finish() {
        _ = try? client.finish(acceptAlreadyClosed: true)
        _ = try? server.finish(acceptAlreadyClosed: true)
    }
}
