// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// One connection of a `RouterConnection`: reads the stream, runs the machine's actions, writes once per burst.
final class ComponentLinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long the router may take to end a stream that we ended.
    private static let closeTimeout = TimeAmount.seconds(2)

    private let connection: RouterConnection
    private let attempt: Int
    private let configuration: InstanceLink.Configuration
    private var machine: ComponentLinkStateMachine
    private let reader: StreamReader
    private var context: ChannelHandlerContext?

    private var out: LinkOutput
    private var isFlushScheduled = false
    /// Between the first byte of a burst and its end, which writes what the burst led to.
    private var isReading = false
    private var failure: LinkFailure?
    private var wasUp = false
    private var hasWritten = false
    private var silentIntervals = 0
    private var timer: Scheduled<Void>?

    init(connection: RouterConnection, attempt: Int) {
        self.connection = connection
        self.attempt = attempt
        self.configuration = connection.configuration
        self.out = LinkOutput(bound: connection.configuration.queueBytes)
        self.machine = ComponentLinkStateMachine(connection.configuration.identity)
        self.reader = StreamReader(
            trust: .internalLink,
            contentNamespaces: [Namespace.component],
            // The router adds an attribute to a wrapper that comes back.
            limits: StreamReader.Limits(stanzaBytes: connection.configuration.elementBytes + 1_024)
        )
    }

    var isUp: Bool { self.machine.isUp && self.failure == nil }

    var queuedBytes: Int { self.out.queuedBytes }

    // MARK: Sending

    /// Appends an element to what goes out at the end of this turn of the loop; false: it is too long and does not go.
    @discardableResult
    func write(_ body: (inout ByteBuffer) -> Void) -> Bool {
        guard self.failure == nil else { return true }
        let length = self.out.append(body)
        guard length <= self.configuration.elementBytes else {
            self.out.removeLast(length)
            return false
        }
        guard self.queuedBytes <= self.configuration.queueBytes else {
            // The caller may be in the middle of anything: the reset comes when the loop has unwound.
            self.failure = .queueFull
            self.context?.eventLoop.assumeIsolated().execute { self.reset(.queueFull) }
            return true
        }
        self.scheduleFlush()
        return true
    }

    /// Ends the stream from our side; the router's end follows and closes the connection (RFC 6120 §4.4).
    func stop() {
        guard self.failure == nil, let context = self.context else { return }
        self.failure = .stopped
        self.out.append { $0.writeStaticString("</stream:stream>") }
        context.writeAndFlush(self.wrapOutboundOut(self.out.takeAll()), promise: nil)
        // To close at once would reset the connection, and what we said last could be lost with it.
        self.timer?.cancel()
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.closeTimeout) {
            self.context?.close(promise: nil)
        }
    }

    private func scheduleFlush() {
        guard !self.isFlushScheduled, !self.isReading, self.out.isReady, let context = self.context else { return }
        self.isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        self.isFlushScheduled = false
        guard self.failure == nil, let context = self.context, let bytes = self.out.take(for: context.channel) else {
            return
        }
        self.hasWritten = true
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
        self.out.written(bytes.readableBytes, to: context.channel)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if self.out.writabilityChanged(of: context.channel) { self.scheduleFlush() }
        context.fireChannelWritabilityChanged()
    }

    private func reset(_ failure: LinkFailure) {
        if self.failure == nil { self.failure = failure }
        _ = self.machine.failed(failure)
        self.context?.close(mode: .all, promise: nil)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.connection.began(self, attempt: self.attempt) else {
            self.failure = .stopped
            return context.close(promise: nil)
        }
        self.out.configure(context.channel)
        self.run(self.machine.connected())
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.configuration.connectTimeout) {
            if !self.machine.isUp { self.reset(.timedOut) } else { self.keepAlive() }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.failure == nil else { return }
        self.silentIntervals = 0
        if !self.isReading {
            self.isReading = true
            self.connection.readBegan()
        }
        self.reader.receive(self.unwrapInboundIn(data))
        do {
            while self.failure == nil, let event = try self.reader.next() {
                switch event {
                case .streamOpened(let header): self.run(self.machine.streamOpened(header))
                case .element(let element): self.run(self.machine.elementReceived(element))
                case .route(let route): self.run(self.machine.routeReceived(route))
                case .streamClosed: self.run(self.machine.failed(.closed))
                }
            }
        } catch {
            self.run(self.machine.failed(.violation("\(error)")))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.endReading()
        context.fireChannelReadComplete()
    }

    /// What a burst led to is written at its end, without a turn of the loop between.
    private func endReading() {
        guard self.isReading else { return }
        self.connection.readComplete()
        self.isReading = false
        self.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.endReading()
        self.timer?.cancel()
        self.timer = nil
        let failure = self.failure ?? .closed
        self.failure = failure
        self.connection.ended(self, failure, wasUp: self.wasUp)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.reset(.unreachable("\(error)"))
    }

    private func run(_ action: ComponentLinkStateMachine.Action) {
        switch action {
        case .nothing:
            break
        case .send(let bytes):
            self.write { $0.writeImmutableBuffer(bytes) }
        case .reset(let failure):
            self.reset(failure)
        case .linkUp:
            self.wasUp = true
            self.restartKeepAlive()
            self.connection.handle(action)
        case .instanceAvailable, .instanceUnavailable, .instancesComplete, .deliverRoute, .deliverStanza, .ignore:
            self.connection.handle(action)
        }
    }

    // MARK: Keep-alive

    private func restartKeepAlive() {
        self.timer?.cancel()
        self.scheduleKeepAlive()
    }

    private func scheduleKeepAlive() {
        guard let context = self.context else { return }
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.configuration.keepAlive) {
            self.keepAlive()
        }
    }

    private func keepAlive() {
        guard self.failure == nil else { return }
        self.silentIntervals += 1
        guard self.silentIntervals <= 3 else { return self.reset(.timedOut) }
        if !self.hasWritten { self.write { $0.writeStaticString(" ") } }
        self.hasWritten = false
        self.scheduleKeepAlive()
    }
}
