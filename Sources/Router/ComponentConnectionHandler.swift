// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import SASL
import XML
import XMPPCore
import XMPPStream

/// One connection on the component port: reads the stream, runs the machine's actions, and queues what goes out.
///
/// A queue is bounded: an instance whose queue is full is reset (its peers learn that it is gone), an external
/// component's stanzas bounce before that. A link that takes nothing of what waits for it is closed.
final class ComponentConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a closed stream may take to send its end and to see that of the peer.
    static let closeTimeout = TimeAmount.seconds(2)

    /// Who has one IPv6 address has all that share its prefix.
    private static let ipv6Prefix = 64
    /// A header and a handshake have few elements and attributes; a parser keeps more of each than its bytes.
    private static let nodesBeforeHandshake = 128

    /// What it is counted by until its handshake.
    let client: ClientAddress
    /// Its network address, for people.
    var address: String { self.client.description }
    private(set) var id: RouteTable.LinkID?
    private(set) var received = 0
    private let router: StanzaRouter
    private let streamID = Digest.randomName()
    private var machine = ComponentStreamStateMachine()
    private var reader: StreamReader?
    private var context: ChannelHandlerContext?
    private let opened = NIODeadline.now()

    private var out: LinkOutput
    private var isDirty = false
    private var hasWritten = false
    private var isClosing = false
    private var timer: Scheduled<Void>?
    private var stuckBytes = 0
    private var isReading = false

    /// The links above their high-water mark that this one wrote to: it is not read until they drained.
    private var blockers: Set<RouteTable.LinkID> = []
    /// The links that wait for this one to drain.
    private var waiters: Set<RouteTable.LinkID> = []
    private var isReadPending = false
    private var isInputClosed = false

    init(router: StanzaRouter, address: String) {
        self.router = router
        self.out = LinkOutput(bound: min(router.limits.queueHighWater, router.limits.queueBytes))
        self.client = ClientAddress(text: address, ipv6Prefix: Self.ipv6Prefix)
    }

    /// Whether it is one of ours: always read, forwarded to without a look.
    var isDeclared: Bool { self.machine.isDeclared }

    var queuedBytes: Int { self.out.queuedBytes }

    /// Whether it is not read at the moment, for a link that it wrote to.
    var isSlowed: Bool { !self.blockers.isEmpty }

    /// The seconds since it connected.
    var uptime: Int64 { (NIODeadline.now() - self.opened).nanoseconds / 1_000_000_000 }

    // MARK: Life of the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.reader == nil else { return }
        let limits = self.router.limits
        self.reader = StreamReader(
            trust: .foreign,
            contentNamespaces: [Namespace.component],
            limits: StreamReader.Limits(
                stanzaBytes: limits.stanzaBytesBeforeHandshake,
                tagBytes: min(limits.stanzaBytesBeforeHandshake, 32_768),
                depth: limits.depth,
                attributes: limits.attributes,
                nodes: Self.nodesBeforeHandshake
            )
        )
        guard let id = self.router.connectionOpened(self) else {
            let condition: StreamError.Condition = self.router.isClosing ? .systemShutdown : .resourceConstraint
            return self.run(self.machine.failed(StreamError(condition), id: self.streamID))
        }
        self.id = id
        self.out.configure(context.channel)
        self.timer = self.schedule(TimeAmount(limits.handshakeTimeout)) {
            guard !self.machine.isAuthenticated else { return }
            self.run(self.machine.failed(StreamError(.connectionTimeout), id: self.streamID))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.gone()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.gone()
        self.context = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            self.isInputClosed = true
            if self.isClosing { context.close(promise: nil) } else { self.endIfAllIsRead() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// A peer that will not say anything any more is answered when all that it said was forwarded; what it asked for last
    /// is still on its way to it.
    private func endIfAllIsRead() {
        guard self.isInputClosed, self.blockers.isEmpty, !self.isClosing else { return }
        self.run(self.machine.streamClosed())
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Behind the end of the stream it does not matter how the connection goes.
        self.router.logger.log(
            level: self.isClosing ? .debug : .info,
            "connection failed",
            metadata: ["peer": "\(self.machine.name ?? self.address)", "reason": "\(error)"]
        )
        self.isClosing = true
        context.close(promise: nil)
    }

    /// Frees what it had, once.
    private func gone() {
        self.isClosing = true
        self.timer?.cancel()
        self.timer = nil
        self.reader = nil
        _ = self.out.takeAll()
        if let id = self.id {
            self.id = nil
            self.router.connectionClosed(id)
            self.wakeWaiters(id)
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // A closed stream's bytes are read and dropped, so that the peer gets the error and not a reset.
        guard !self.isClosing, let reader = self.reader else { return }
        reader.receive(self.unwrapInboundIn(data))
        self.readEvents()
    }

    private func readEvents() {
        guard !self.isReading else { return }
        self.isReading = true
        defer { self.isReading = false }
        do {
            while !self.isClosing, self.blockers.isEmpty, let event = try self.reader?.next() {
                switch event {
                case .streamOpened(let header):
                    self.run(
                        self.machine.streamOpened(header, id: self.streamID, directory: self.router.directory)
                    )
                case .element(let element):
                    self.received += 1
                    self.run(self.machine.elementReceived(element))
                case .route(let route):
                    self.received += 1
                    self.run(self.machine.routeReceived(route))
                case .streamClosed:
                    self.run(self.machine.streamClosed())
                }
            }
        } catch {
            self.run(self.machine.failed(StreamError(error), id: self.streamID))
        }
    }

    func read(context: ChannelHandlerContext) {
        if self.blockers.isEmpty { context.read() } else { self.isReadPending = true }
    }

    private func run(_ action: ComponentStreamStateMachine.Action) {
        switch action {
        case .nothing:
            break
        case .send(let bytes):
            self.write { $0.writeImmutableBuffer(bytes) }
        case .bind(let name, let grant):
            self.bind(name, grant)
        case .declare(let declaration):
            self.declare(declaration)
        case .forwardForeign(let stanza, let to):
            self.debug("forward", stanza: stanza)
            self.router.forward(stanza, to: to, from: self)
        case .forwardInternal(let element, let to, let from):
            self.debug("forward", element)
            if !self.router.forward(element, to: to, from: from, of: self) { self.end(StreamError(.invalidFrom)) }
        case .forwardRoute(let route):
            self.debug("route", route)
            self.router.forward(route, from: self)
        case .close(let bytes, let reason):
            self.close(bytes, reason: reason)
        }
    }

    private func bind(_ name: String, _ grant: ComponentDirectory.Grant) {
        guard let id = self.id else { return }
        guard self.router.bind(id, name: name, grant: grant, epoch: self.streamID) else {
            return self.end(StreamError(.conflict))
        }
        self.timer?.cancel()
        self.reader?.limits.stanzaBytes = self.router.limits.stanzaBytes
        self.reader?.limits.tagBytes = 32_768
        self.reader?.limits.nodes = self.router.limits.nodes
        self.scheduleKeepAlive()
        self.run(self.machine.bound())
    }

    private func declare(_ declaration: LinkDeclaration) {
        guard let id = self.id else { return }
        guard self.router.declare(id, declaration) else { return self.end(StreamError(.conflict)) }
        self.reader?.trust = .internalLink
        self.reader?.limits.stanzaBytes = self.router.limits.internalStanzaBytes
        self.run(self.machine.declared())
        self.router.introduce(id)
        self.timer?.cancel()
        self.scheduleKeepAlive()
    }

    // MARK: Back-pressure

    /// Stops reading this component until `destination` has drained.
    func wait(for destination: ComponentConnectionHandler) {
        guard let id = self.id, let blocker = destination.id else { return }
        self.blockers.insert(blocker)
        destination.waiters.insert(id)
    }

    private func unblock(_ blocker: RouteTable.LinkID) {
        self.blockers.remove(blocker)
        guard self.blockers.isEmpty, !self.isClosing else { return }
        // What was received before the wait comes first; it may lead to the next wait.
        self.readEvents()
        self.endIfAllIsRead()
        guard self.blockers.isEmpty, self.isReadPending, let context = self.context else { return }
        self.isReadPending = false
        context.read()
    }

    private func wakeWaiters(_ id: RouteTable.LinkID) {
        let waiters = self.waiters
        self.waiters.removeAll()
        for waiter in waiters { self.router.links[waiter]?.unblock(id) }
    }

    // MARK: Writing

    /// Appends to what goes out at the end of this turn of the loop.
    func write(_ body: (inout ByteBuffer) -> Void) {
        guard !self.isClosing else { return }
        self.out.append(body)
        guard self.queuedBytes <= self.router.limits.queueBytes || !self.isDeclared else { return self.overflow() }
        self.markDirty()
    }

    /// Appends bytes that are forwarded as they are.
    func write(_ bytes: ByteBuffer) {
        self.write { $0.writeImmutableBuffer(bytes) }
    }

    private func markDirty() {
        guard !self.isDirty, self.out.isReady else { return }
        self.isDirty = true
        self.router.markDirty(self)
    }

    /// Writes what is queued, unless what was written before is still on its way.
    func flush() {
        self.isDirty = false
        guard let context = self.context, let bytes = self.out.take(for: context.channel) else { return }
        self.hasWritten = true
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
        self.out.written(bytes.readableBytes, to: context.channel)
        self.wakeWaitersIfDrained()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if self.out.writabilityChanged(of: context.channel) {
            self.markDirty()
            self.wakeWaitersIfDrained()
        }
        context.fireChannelWritabilityChanged()
    }

    private func wakeWaitersIfDrained() {
        guard let id = self.id, !self.waiters.isEmpty else { return }
        if self.queuedBytes < self.router.limits.queueHighWater / 2 { self.wakeWaiters(id) }
    }

    /// An instance that does not read is reset: inner links carry, they do not keep (design, section 4).
    private func overflow() {
        self.isClosing = true
        self.router.metrics.resets.increment()
        self.router.logger.warning("link reset, its queue is full", metadata: ["peer": "\(self.machine.name ?? "")"])
        // The caller may be in the middle of a burst: the names go when the loop has unwound.
        self.context?.eventLoop.assumeIsolated().execute { self.context?.close(promise: nil) }
    }

    // MARK: Ending

    /// Ends the stream with an error.
    func end(_ error: StreamError) {
        self.run(self.machine.failed(error, id: self.streamID))
    }

    /// Makes room for another connection.
    func refuse() {
        self.end(StreamError(.resourceConstraint, text: "too many connections"))
        self.context?.close(promise: nil)
    }

    private func close(_ bytes: ByteBuffer, reason: StreamError?) {
        guard !self.isClosing, let context = self.context else { return }
        if let reason {
            self.router.metrics.streamErrors.increment()
            self.router.logger.notice(
                "stream ended with an error",
                metadata: ["peer": "\(self.address)", "reason": "\(reason.condition.rawValue)"]
            )
        }
        self.out.append { $0.writeImmutableBuffer(bytes) }
        self.isClosing = true
        self.reader = nil
        self.blockers.removeAll()
        self.timer?.cancel()
        self.timer = self.schedule(Self.closeTimeout) { self.context?.close(promise: nil) }
        if let id = self.id {
            // The names are free at once; the connection may take a moment longer.
            self.id = nil
            self.router.connectionClosed(id)
            self.wakeWaiters(id)
        }
        let rest = self.out.takeAll()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            // Reading goes on until the peer closes too, or the time is up.
            self.context?.close(mode: .output, promise: nil)
        }
        context.writeAndFlush(self.wrapOutboundOut(rest), promise: promise)
        if self.isReadPending { context.read() }
    }

    // MARK: Keep-alive

    private func schedule(_ delay: TimeAmount, _ body: @escaping () -> Void) -> Scheduled<Void>? {
        self.context?.eventLoop.assumeIsolated().scheduleTask(in: delay, body)
    }

    /// Our own ends count on white space (`docs/protocols.md`, section 1), foreign ones are probed with it.
    private func scheduleKeepAlive() {
        let configured = TimeAmount(self.router.limits.keepAlive)
        let interval = self.isDeclared ? min(configured, .seconds(20)) : configured
        self.timer = self.schedule(interval) { self.keepAlive() }
    }

    private func keepAlive() {
        guard !self.isClosing, let context = self.context else { return }
        let waiting = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        if waiting > 0, waiting == self.stuckBytes {
            self.router.metrics.resets.increment()
            self.router.logger.warning(
                "link reset, it takes nothing",
                metadata: ["peer": "\(self.machine.name ?? self.address)", "bytes": "\(self.queuedBytes)"]
            )
            self.isClosing = true
            return context.close(promise: nil)
        }
        self.stuckBytes = waiting
        if !self.hasWritten { self.write { $0.writeStaticString(" ") } }
        self.hasWritten = false
        self.scheduleKeepAlive()
    }

    // MARK: Log

    /// A line that follows a stanza of an external component.
    func debug(_ what: Logger.Message, stanza: Stanza, reason: String? = nil) {
        guard self.router.logger.logLevel <= .debug else { return }
        self.router.logger.debug(
            what,
            metadata: [
                "peer": "\(self.machine.name ?? "")", "stanza": "\(stanza.id ?? "")",
                "to": "\(stanza.to?.domain ?? "")", "reason": "\(reason ?? "")",
            ]
        )
    }

    /// A line that follows a stanza of ours by its id.
    private func debug(_ what: Logger.Message, _ element: StreamElement) {
        guard self.router.logger.logLevel <= .debug else { return }
        self.debug(what, link: element["id"] ?? "", to: element["to"] ?? "")
    }

    /// A line that follows a stanza of ours by session name and number.
    private func debug(_ what: Logger.Message, _ route: RouteFrame) {
        guard self.router.logger.logLevel <= .debug else { return }
        self.debug(what, link: "\(route.session)-\(route.number.map { String($0) } ?? "")", to: route.to)
    }

    private func debug(_ what: Logger.Message, link: String, to: String) {
        self.router.logger.debug(
            what,
            metadata: ["peer": "\(self.machine.name ?? "")", "link": "\(link)", "to": "\(to)"]
        )
    }
}
