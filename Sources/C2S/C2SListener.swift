// SPDX-License-Identifier: Apache-2.0

import Config
import Logging
import NIOCore
import NIOPosix
import XMPPCore
import XMPPStream

/// What connects to a port for clients (`DaemonContext.listen`).
enum C2SListener {
    /// How much is read at once: a channel keeps its last buffer, so an idle client has a small one, and it grows while
    /// there is more to read; that of a stranger not far.
    static func readBuffer(beforeLogin: Bool) -> AdaptiveRecvByteBufferAllocator {
        AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: beforeLogin ? 4_096 : 32_768)
    }

    static func prepare(
        _ bootstrap: ServerBootstrap,
        _ listener: JackdawConfiguration.Listener,
        runtime: NIOLoopBound<C2SRuntime>,
        logger: Logger
    ) -> ServerBootstrap {
        let mode: ListenerMode = listener.tls == .direct ? .direct : .startTLS
        return
            bootstrap
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = AcceptBackOffHandler(hub: runtime.value.hub, logger: logger)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            // One at a time, so that each finds the room that it was promised.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: Self.readBuffer(beforeLogin: true))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.configure(channel, mode, runtime.value.hub)
                }
            }
    }

    /// Puts the handlers of a connection in place, or refuses it.
    private static func configure(_ channel: any Channel, _ mode: ListenerMode, _ hub: C2SHub) throws {
        let prefix = hub.configuration.limits.ipv6Prefix
        let address = ClientAddress(channel.remoteAddress, ipv6Prefix: prefix)
        switch hub.accept(address, mode: mode, now: .now()) {
        case .success(let handler):
            try channel.pipeline.syncOperations.addHandler(handler)
        case .failure(let refused):
            try channel.pipeline.syncOperations.addHandler(RefusalHandler(mode: mode, reason: refused.reason))
        }
    }
}

/// Tells a client that its connection is one too many, where it can be told, and closes.
final class RefusalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let mode: ListenerMode
    private let reason: ConnectionLimiter.Refusal

    init(mode: ListenerMode, reason: ConnectionLimiter.Refusal) {
        self.mode = mode
        self.reason = reason
    }

    func channelActive(context: ChannelHandlerContext) {
        if mode == .startTLS {
            var buffer = ByteBuffer()
            StreamHeaderWriter(contentNamespace: Namespace.client, language: "en").write(to: &buffer)
            let error =
                switch reason {
                case .addressLimit: StreamError(.policyViolation, text: "too many connections from your address")
                case .totalLimit: StreamError(.resourceConstraint, text: "too many connections")
                }
            error.write(to: &buffer)
            StreamHeaderWriter.writeClose(to: &buffer)
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        }
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
