// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore

/// On a listening channel: when `accept` fails for want of descriptors or memory, waits before the next one instead
/// of trying in a loop.
final class AcceptBackOffHandler: ChannelDuplexHandler {
    typealias InboundIn = Channel
    typealias OutboundIn = Channel

    private let delay: TimeAmount
    private let logger: Logger
    private var isWaiting = false
    private var isReadPending = false

    init(delay: TimeAmount = .milliseconds(200), logger: Logger) {
        self.delay = delay
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        if isWaiting {
            isReadPending = true
        } else {
            context.read()
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
            self.isWaiting = false
            guard self.isReadPending else { return }
            self.isReadPending = false
            context.read()
        }
    }
}
