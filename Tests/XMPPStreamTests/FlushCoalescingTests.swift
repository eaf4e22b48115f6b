// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import Testing
import XMPPStream

@Suite struct FlushCoalescingTests {
    /// Counts what reaches the head of the pipeline.
    private final class FlushCounter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var flushes = 0
        var closedAfter: Int?

        func flush(context: ChannelHandlerContext) {
            flushes += 1
            context.flush()
        }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            closedAfter = flushes
            context.close(mode: mode, promise: promise)
        }
    }

    /// Answers every read at once, and once more at the end of the burst.
    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(data, promise: nil)
        }

        func channelReadComplete(context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "end")), promise: nil)
        }
    }

    private func channel(_ handlers: [any ChannelHandler] = []) throws -> (EmbeddedChannel, FlushCounter) {
        let counter = FlushCounter()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([counter, FlushCoalescingHandler()] + handlers)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        return (channel, counter)
    }

    @Test func `a burst of reads is flushed once, at its end`() throws {
        let (channel, counter) = try channel([Echo()])
        for text in ["a", "b", "c"] { channel.pipeline.fireChannelRead(ByteBuffer(string: text)) }
        #expect(counter.flushes == 0)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        channel.pipeline.fireChannelReadComplete()
        #expect(counter.flushes == 1)
        var texts: [String] = []
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) { texts.append(String(buffer: buffer)) }
        #expect(texts == ["a", "b", "c", "end"])
        channel.embeddedEventLoop.run()
        #expect(counter.flushes == 1)
        _ = try channel.finish()
    }

    @Test func `flushes outside of a burst go out once per turn of the loop`() throws {
        let (channel, counter) = try channel()
        for text in ["a", "b", "c"] { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
        #expect(counter.flushes == 0)
        channel.embeddedEventLoop.run()
        #expect(counter.flushes == 1)
        channel.writeAndFlush(ByteBuffer(string: "d"), promise: nil)
        channel.embeddedEventLoop.run()
        #expect(counter.flushes == 2)
        _ = try channel.finish()
    }

    @Test func `what was written goes out before the close`() throws {
        let (channel, counter) = try channel()
        channel.writeAndFlush(ByteBuffer(string: "bye"), promise: nil)
        channel.close(promise: nil)
        #expect(counter.closedAfter == 1)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == ByteBuffer(string: "bye"))
        channel.embeddedEventLoop.run()
        #expect(counter.flushes == 1)
    }

    @Test func `the machine wants one flush, however often it is asked`() {
        var machine = FlushCoalescing()
        #expect(machine.flushRequested() == .scheduleTurnEnd)
        #expect(machine.flushRequested() == .wait)
        machine.readBegan()
        // The burst that began takes the flush over.
        #expect(machine.turnEnded() == false)
        #expect(machine.flushRequested() == .wait)
        #expect(machine.readCompleted() == true)
        #expect(machine.readCompleted() == false)
        #expect(machine.flushRequested() == .scheduleTurnEnd)
        #expect(machine.takeWanted() == true)
        #expect(machine.turnEnded() == false)
    }
}
