// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Decides when the flushes of a connection go out: at the end of a burst of reads, or once per turn of the loop.
package struct FlushCoalescing: Hashable, Sendable {
    /// What to do about a flush that was asked for.
    package enum Action: Hashable, Sendable {
        /// A later event brings it out.
        case wait
        /// Call `turnEnded` when the loop has run what is already in its queue.
        case scheduleTurnEnd
    }

    private var isReading = false
    private var isWanted = false
    private var isScheduled = false

    package init() {}

    /// Something was written that should go out.
    package mutating func flushRequested() -> Action {
        isWanted = true
        guard !isReading, !isScheduled else { return .wait }
        isScheduled = true
        return .scheduleTurnEnd
    }

    /// Bytes arrived; `readCompleted` will follow.
    package mutating func readBegan() {
        isReading = true
    }

    /// The burst of reads is over; true if a flush is due now.
    package mutating func readCompleted() -> Bool {
        isReading = false
        return takeWanted()
    }

    /// The turn that `scheduleTurnEnd` asked for is over; true if a flush is due now.
    package mutating func turnEnded() -> Bool {
        isScheduled = false
        return isReading ? false : takeWanted()
    }

    /// The connection closes or the handler leaves; true if a flush is due before.
    package mutating func takeWanted() -> Bool {
        defer { isWanted = false }
        return isWanted
    }
}

/// Turns the flushes of the handlers behind it into one per burst of reads, or one per turn of the loop.
///
/// It belongs between TLS and the handlers of the stream, so that many stanzas share a TLS record and a system call.
/// Confined to the channel's loop.
package final class FlushCoalescingHandler: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = NIOAny
    package typealias InboundOut = NIOAny
    package typealias OutboundIn = NIOAny
    package typealias OutboundOut = NIOAny

    private var coalescing = FlushCoalescing()
    /// Nil before the handler is in a pipeline and after it left, when a late end of turn finds nothing to do.
    private var context: ChannelHandlerContext?

    package init() {}

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        if coalescing.takeWanted() { context.flush() }
        self.context = nil
    }

    package func flush(context: ChannelHandlerContext) {
        guard case .scheduleTurnEnd = coalescing.flushRequested() else { return }
        context.eventLoop.assumeIsolated().execute {
            guard self.coalescing.turnEnded() else { return }
            self.context?.flush()
        }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        coalescing.readBegan()
        context.fireChannelRead(data)
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        // First the handlers behind, which may write at the end of a burst.
        context.fireChannelReadComplete()
        if coalescing.readCompleted() { context.flush() }
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if coalescing.takeWanted() { context.flush() }
        context.close(mode: mode, promise: promise)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        _ = coalescing.takeWanted()
        context.fireChannelInactive()
    }
}
