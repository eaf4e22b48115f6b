// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import NIOCore
import NIOPosix
import XMPPCore
import XMPPStream

/// What connects to a port for other servers (`DaemonContext.listen`).
enum S2SListener {
    static func prepare(
        _ bootstrap: ServerBootstrap,
        _ listener: JackdawConfiguration.Listener,
        runtime: NIOLoopBound<S2SRuntime>
    ) -> ServerBootstrap {
        bootstrap.childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try Self.configure(channel, listener.tls, runtime.value.hub) }
        }
    }

    /// Puts the handler of a connection in place, or refuses it.
    private static func configure(
        _ channel: any Channel,
        _ mode: JackdawConfiguration.Listener.TLSMode,
        _ hub: S2SHub
    ) throws {
        let address = ClientAddress(channel.remoteAddress, ipv6Prefix: 64).network
        guard let stream = hub.accept(isDirectTLS: mode == .direct, address: address) else {
            hub.metrics.refused.increment()
            var buffer = ByteBuffer()
            if mode == .startTLS {
                StreamHeaderWriter.server(from: nil, to: nil).write(to: &buffer)
                StreamError(.resourceConstraint, text: "too many connections").write(to: &buffer)
                StreamHeaderWriter.writeClose(to: &buffer)
            }
            try channel.pipeline.syncOperations.addHandler(FullHouseHandler(words: buffer))
            return
        }
        try channel.pipeline.syncOperations.addHandler(stream)
    }
}

/// Tells a peer that its connection is one too many, where it can be told, and closes.
private final class FullHouseHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let words: ByteBuffer

    init(words: ByteBuffer) {
        self.words = words
    }

    func channelActive(context: ChannelHandlerContext) {
        if self.words.readableBytes > 0 { context.writeAndFlush(self.wrapOutboundOut(self.words), promise: nil) }
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
