// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore

/// On a listening channel: accepts no more than there is room for, and when `accept` fails for want of descriptors or
/// memory, waits before the next one instead of trying in a loop. Who has to wait does so in the kernel's queue.
final class AcceptBackOffHandler: ChannelDuplexHandler {
    typealias InboundIn = Channel
    typealias OutboundIn = Channel

    private let hub: C2SHub
    private let delay: TimeAmount
    private let logger: Logger
    private var isWaiting = false
    private var isReadPending = false

    init(hub: C2SHub, delay: TimeAmount = .milliseconds(200), logger: Logger) {
        self.hub = hub
        self.delay = delay
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        guard !isWaiting else {
            isReadPending = true
            return
        }
        let mayAccept = hub.mayAccept { self.resume(context) }
        if mayAccept {
            context.read()
        } else {
            isWaiting = true
            isReadPending = true
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is IOError else {
            context.fireErrorCaught(error)
            return
        }
        guard !isWaiting else { return }
        logger.error("cannot accept connections", metadata: ["reason": "\(error)"])
        isWaiting = true
        context.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            self.resume(context)
        }
    }

    private func resume(_ context: ChannelHandlerContext) {
        isWaiting = false
        guard isReadPending else { return }
        isReadPending = false
        read(context: context)
    }
}
