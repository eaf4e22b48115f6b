// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import SASL
import TLS
import XML
import XMPPCore
import XMPPStream

/// One client's channel: reads the stream, asks the machine, does what it says.
///
/// What is written during a turn of the loop goes out at its end, in one piece. Reading pauses while the machine
/// waits for somebody, while the client has used up its rates, and while the link to the router is full. What a client
/// sent before it closed its connection comes all at once: it is passed on at the same pace when the channel is gone.
final class C2SConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let hub: C2SHub
    let clientAddress: ClientAddress
    var machine: C2SConnectionStateMachine
    var logger: Logger
    /// Whether the hub counts it among its sessions.
    var isSessionCounted = false
    /// The instance that owns the session, as soon as one was asked.
    var owner: String? {
        didSet {
            ownerBytes = Array((owner ?? "").utf8)
            route = nil
        }
    }
    private(set) var ownerBytes: [UInt8] = []
    /// What the owner is told, since the connection is gone; nil again when that one has taken it.
    var farewell: SessionMessage.Content?
    /// Whether the hub keeps it among its ghosts, and when the owner was told last.
    var isGhost = false
    var farewellSaid = NIODeadline.uptimeNanoseconds(0)
    /// The way to the session's owner, once a stanza took it.
    var route: SessionRoute?

    private let mode: ListenerMode
    let reader: StreamReader
    private(set) var context: ChannelHandlerContext?
    private var isConnected = true
    private var tls: TLSHandler?
    private var tlsDomain: String?
    private var throttle: StreamThrottle
    var isAuthenticated = false
    /// Whether TLS waits for others' handshakes to end.
    private var isHandshakeQueued = false
    private var isHandshakeCounted = false

    private var out = ByteBuffer()
    private var isFlushWanted = false
    /// All that was ever given to the channel, for the detection of one that is stuck.
    private var writtenBytes = 0
    private var drainedBytes = 0
    private var drainedAt: NIODeadline

    private var isProcessing = false
    /// An element that waits for its time; it is paid for.
    private var held: StreamElement?
    private var pausedUntil: NIODeadline?
    private var isParked = false
    /// The pause is for too many unsettled stanzas, and ends when there are fewer.
    private var isOverdraftPause = false
    private var isReadWanted = false
    /// What was read in the clear and is not charged yet.
    private var clearBytes = 0
    /// What was read of answers to the server, which are free.
    private var answeredBytes = 0
    /// An answer is free up to so many bytes; who is asked by a friend must not get any amount past its rate.
    private static let freeAnswerBytes = 4_096
    private var hasReaderFailed = false
    private var discardedBytes = 0

    private var lastInbound: NIODeadline
    private var pingSent: NIODeadline?
    private var loginTimer: Scheduled<Void>?
    private var closeTimer: Scheduled<Void>?
    private var pauseTimer: Scheduled<Void>?
    /// Runs while what is left of a connection that is gone is passed on.
    private var restTimer: Scheduled<Void>?

    init(hub: C2SHub, mode: ListenerMode, address: ClientAddress, now: NIODeadline) {
        self.hub = hub
        self.mode = mode
        clientAddress = address
        let name = Digest.randomName()
        machine = C2SConnectionStateMachine(
            configuration: hub.machineConfiguration,
            isDirectTLS: mode == .direct,
            sessionName: name,
            address: address.description,
            network: address.network,
            jids: hub.jids
        )
        reader = StreamReader(
            trust: .foreign,
            contentNamespaces: [Namespace.client],
            limits: hub.configuration.limitsBeforeLogin,
            parsers: hub.parsers
        )
        throttle = hub.configuration.throttle
        lastInbound = now
        drainedAt = now
        logger = hub.logger
        logger[metadataKey: "conn"] = "\(name.prefix(8))"
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard loginTimer == nil else { return }
        logger.debug("connection", metadata: ["peer": "\(clientAddress)"])
        let timeout = TimeAmount(hub.configuration.timeouts.login)
        loginTimer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
            self.run(self.machine.loginTimedOut(id: Digest.randomName()))
        }
        if mode == .direct { startTLS(domain: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        for timer in [loginTimer, closeTimer] { timer?.cancel() }
        isConnected = false
        endHandshake()
        if isSomethingLeft { passOnTheRest() } else { finish() }
        context.fireChannelInactive()
    }

    // MARK: - Behind the end of a connection

    /// The client said more before it went than its rate allowed: the rest of its session is passed on later.
    private var isSomethingLeft: Bool {
        machine.phase == .session && (held != nil || reader.hasUnreadInput)
            && reader.unreadBytes <= hub.configuration.limits.stanzaBytes
    }

    private func passOnTheRest() {
        let rest = TimeAmount(hub.configuration.timeouts.rest)
        restTimer = hub.eventLoop.assumeIsolated().scheduleTask(in: rest) { self.finish() }
        process()
    }

    /// Whether the connection is gone, and what the client said on it is still passed on.
    private var isRestPassedOn: Bool { restTimer != nil }

    /// Forgets the connection, once.
    private func finish() {
        restTimer?.cancel()
        restTimer = nil
        pauseTimer?.cancel()
        held = nil
        run(machine.connectionLost())
        hub.closed(self, wasAuthenticated: isAuthenticated)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case TLSError.handshakeFailed(let reason) = error {
            hub.metrics.handshakeFailures.increment()
            logger.debug("TLS handshake failed", metadata: ["reason": "\(reason)"])
        } else {
            logger.debug("connection failed", metadata: ["reason": "\(error)"])
        }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let info) = event as? TLSEvent {
            endHandshake()
            progressed()
            let bindings = ChannelBindings(
                tlsExporter: tls?.channelBindingExporter(),
                tlsServerEndPoint: tls?.serverEndPoint()
            )
            run(machine.handshakeCompleted(version: info.version, bindings: bindings))
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        let now = hub.eventLoop.now
        hub.metrics.bytesReceived.increment(by: buffer.readableBytes)
        lastInbound = now
        pingSent = nil
        if tls == nil { clearBytes += buffer.readableBytes }
        guard machine.phase != .closed, !hasReaderFailed else { return }
        reader.receive(buffer)
        process()
    }

    /// What came from the socket is charged, ciphertext where there is TLS: records cost also where they carry nothing.
    func channelReadComplete(context: ChannelHandlerContext) {
        let count = clearBytes + (tls?.takeReceivedBytes() ?? 0)
        clearBytes = 0
        if machine.phase == .closed || machine.phase == .closing {
            discard(count)
        } else {
            let charged = throttle.bytes.take(count, now: hub.eventLoop.now)
            throttle.bytes.giveBack(answeredBytes)
            answeredBytes = 0
            if charged != nil, let until = throttle.bytes.take(0, now: hub.eventLoop.now) { pause(until: until) }
        }
        noteUnfinished()
        context.fireChannelReadComplete()
    }

    /// What a stranger has begun to say takes memory until it is finished.
    private func noteUnfinished() {
        guard isStranger, machine.phase != .closed else { return }
        hub.noteUnfinished(reader.heldBytes + (tls?.heldBytes ?? 0), of: self)
    }

    func read(context: ChannelHandlerContext) {
        if isReadPaused {
            isReadWanted = true
        } else {
            context.read()
        }
    }

    // MARK: - Input

    /// The machine must not be given the next element yet.
    private var isHeldUp: Bool {
        machine.isWaiting || isParked || isOwnerAwaited || (held != nil && pausedUntil != nil)
    }

    private var isReadPaused: Bool {
        guard machine.phase != .closing else { return false }
        if machine.phase == .handshaking { return isHandshakeQueued || pausedUntil != nil }
        return isHeldUp || pausedUntil != nil
    }

    /// Gives the machine what was read, as far as it takes it now.
    func process() {
        guard !isProcessing else { return }
        isProcessing = true
        defer {
            isProcessing = false
            noteUnfinished()
            resumeReading()
            if isRestPassedOn, !isHeldUp { finish() }
        }
        do throws(StreamReader.Failure) {
            while !isHeldUp, !hasReaderFailed, machine.phase != .closed {
                if hub.isLinkCongested, held != nil || reader.hasUnreadInput { return park() }
                let phase = machine.phase
                defer { if machine.phase != phase { progressed() } }
                if let element = held {
                    held = nil
                    handle(element)
                    continue
                }
                guard let event = try reader.next() else { break }
                switch event {
                case .streamOpened(let header):
                    let id = Digest.randomName()
                    run(machine.streamOpened(header, id: id, sessionFeatures: hub.sessionFeatures))
                case .element(let element): charge(element)
                case .streamClosed: run(machine.streamClosed())
                // Internal links only.
                case .route: break
                }
            }
        } catch {
            hasReaderFailed = true
            logger.debug("bad input", metadata: ["reason": "\(error)"])
            run(machine.readerFailed(error, id: Digest.randomName()))
        }
    }

    /// Takes the element's price; one that cannot be paid now waits.
    private func charge(_ element: StreamElement) {
        if machine.phase == .closing { return }
        if machine.takeUncharged(element) {
            answeredBytes += min(element.bytes.readableBytes, Self.freeAnswerBytes)
        } else if let until = throttle.stanzas.take(1, now: hub.eventLoop.now) {
            held = element
            return pause(until: until)
        } else if machine.isOverdrawn, element.namespace == Namespace.client {
            // Acknowledgements come the same way, so it is slowed down and never stopped.
            held = element
            isOverdraftPause = true
            return pause(until: hub.eventLoop.now + Self.overdraftPause)
        }
        handle(element)
    }

    /// The pause before each stanza of a client that has too many unsettled ones.
    private static let overdraftPause = TimeAmount.milliseconds(100)

    private func handle(_ element: StreamElement) {
        guard machine.phase == .session else {
            let id = Digest.randomName()
            run(machine.elementReceived(element, id: id, hasUnreadInput: reader.hasUnreadInput))
            return
        }
        switch machine.sessionElementReceived(element, id: machine.sessionName) {
        case .forward(let message):
            hub.metrics.stanzasReceived.increment()
            guard case .stanza(let stanza, .some(let number), let fault) = message.content else { return }
            logger.debug("stanza from the client", metadata: ["link": "\(machine.sessionName)-\(number)"])
            forward(stanza, number: number, fault: fault)
        case .actions(let actions):
            run(actions)
            // An acknowledgement may make room for the next request.
            if machine.management.unacknowledged > 0 { wantFlush() }
        }
    }

    /// Reads no further until a moment.
    private func pause(until deadline: NIODeadline) {
        if let earlier = pausedUntil, earlier >= deadline { return }
        pausedUntil = deadline
        hub.metrics.throttled.increment()
        pauseTimer?.cancel()
        pauseTimer = hub.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.endPause() }
    }

    private func endPause() {
        pauseTimer?.cancel()
        pauseTimer = nil
        pausedUntil = nil
        isOverdraftPause = false
        process()
    }

    /// Waits for the link to the router; the hub calls `unpark`.
    private func park() {
        guard !isParked else { return }
        isParked = true
        hub.park(self)
    }

    func unpark() {
        isParked = false
        process()
    }

    private func resumeReading() {
        guard isReadWanted, !isReadPaused else { return }
        isReadWanted = false
        context?.read()
    }

    /// After an error the client is listened to for a while, so that it can read what we said, but not for ever.
    private func discard(_ count: Int) {
        discardedBytes += count
        if discardedBytes > 16 << 20 { context?.close(promise: nil) }
    }

    // MARK: - Output

    func send(_ buffer: ByteBuffer) {
        write { $0.writeImmutableBuffer(buffer) }
    }

    private func write(_ body: (inout ByteBuffer) -> Void) {
        body(&out)
        wantFlush()
    }

    private func wantFlush() {
        guard !isFlushWanted else { return }
        isFlushWanted = true
        hub.wantFlush(self)
    }

    /// Sends what was written in this turn of the loop.
    func flush() {
        isFlushWanted = false
        guard let context, isConnected else {
            out = ByteBuffer()
            return
        }
        if machine.requestIsDue() { out.writeImmutableBuffer(ManagementElement.request) }
        guard out.readableBytes > 0 else { return }
        let buffer = out
        out = ByteBuffer()
        writtenBytes += buffer.readableBytes
        hub.metrics.bytesSent.increment(by: buffer.readableBytes)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        // The channel has little while it is writable; to ask how much costs more than to write a stanza.
        if !context.channel.isWritable, bufferedBytes(context) > hub.configuration.limits.outputBytes {
            hub.metrics.slowClients.increment()
            logger.info("the client does not read", metadata: ["peer": "\(clientAddress)"])
            run(machine.giveUp())
        }
    }

    private func bufferedBytes(_ context: ChannelHandlerContext) -> Int {
        (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    // MARK: - Actions

    func run(_ actions: [C2SConnectionStateMachine.Action]) {
        for action in actions { run(action) }
    }

    private func run(_ action: C2SConnectionStateMachine.Action) {
        switch action {
        case .send(let buffer): send(buffer)
        case .startTLS(let domain): startTLS(domain: domain)
        case .restartStream: reader.reset()
        case .loadCredentials(let user, let hash): hub.loadCredentials(of: user, hash: hash, for: self)
        case .delayFailure(let user, let failure): delayFailure(user, failure)
        case .loggedIn(let user): loggedIn(user)
        case .tellOwner(let content):
            tell(SessionMessage(session: machine.sessionName, attach: machine.attach, content))
            // What was sent since the request that this answers wants a request of its own.
            if case .acknowledged = content { wantFlush() }
        case .sessionBegan(let jid): sessionBegan(jid)
        case .sessionRenamed(let oldName): hub.renamed(self, from: oldName)
        case .close(let atOnce): close(atOnce: atOnce)
        }
    }

    private func startTLS(domain: String?) {
        flush()
        tlsDomain = domain
        guard hub.mayStartHandshake(self) else {
            isHandshakeQueued = true
            return
        }
        startHandshake()
    }

    /// The hub has room for the handshake.
    func startHandshake() {
        isHandshakeQueued = false
        isHandshakeCounted = true
        hub.handshakeBegan(self)
        progressed()
        guard let context, let tlsContext = hub.tlsContext(mode) else {
            close(atOnce: true)
            return
        }
        do {
            let handler = try TLSHandler(context: tlsContext, domain: tlsDomain)
            tls = handler
            try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
        } catch {
            logger.error("cannot start TLS", metadata: ["reason": "\(error)"])
            close(atOnce: true)
        }
        resumeReading()
    }

    private func endHandshake() {
        guard isHandshakeCounted else { return }
        isHandshakeCounted = false
        hub.handshakeEnded(self)
    }

    private func sessionBegan(_ jid: JID) {
        loginTimer?.cancel()
        logger[metadataKey: "jid"] = "\(jid)"
        logger.debug("session", metadata: ["session": "\(machine.sessionName)"])
        hub.sessionBegan(self)
    }

    private func tell(_ message: SessionMessage) {
        hub.tell(message, for: self)
    }

    private func close(atOnce: Bool) {
        if isRestPassedOn { return finish() }
        flush()
        guard let context else { return }
        if atOnce {
            context.close(promise: nil)
        } else if closeTimer == nil {
            held = nil
            pauseTimer?.cancel()
            pausedUntil = nil
            let wait = TimeAmount(hub.configuration.timeouts.close)
            closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: wait) {
                self.context?.close(promise: nil)
            }
            resumeReading()
        }
    }

    // MARK: - From SM

    /// A stanza for the client as bytes.
    func received(_ tag: StanzaTag, _ bytes: ByteBuffer, number: UInt64?, id: ByteBufferView?) {
        hub.metrics.stanzasSent.increment()
        logger.debug(
            "stanza to the client",
            metadata: ["link": "\(machine.sessionName)-\(number.map { String($0) } ?? "")"]
        )
        let now = hub.eventLoop.now.uptimeNanoseconds
        if machine.deliver(tag, bytes, number: number, id: id, now: now, into: &out) { wantFlush() }
    }

    /// What the session's owner says.
    func received(_ content: SessionMessage.Content) {
        switch content {
        case .stanza(let stanza, let number, _):
            // Its next stanza would tell SM that it has the message: SM keeps it for others.
            if isRestPassedOn, !machine.management.isOn, stanza.kind == .message { return finish() }
            hub.metrics.stanzasSent.increment()
            logger.debug(
                "stanza to the client",
                metadata: ["link": "\(machine.sessionName)-\(number.map { String($0) } ?? "")"]
            )
            let now = hub.eventLoop.now.uptimeNanoseconds
            if machine.deliver(stanza, number: number, now: now, into: &out) { wantFlush() }
        case .opened(let jid): run(machine.opened(jid))
        case .refused(let error): run(machine.refused(error, id: Digest.randomName()))
        case .enabled(let token, let max): run(machine.enabled(token: token, max: max))
        case .resumed(let resumed): run(machine.resumed(resumed))
        case .resumeFailed(let h): run(machine.resumeFailed(h: h))
        case .settled(let number):
            run(machine.settled(number))
            if isOverdraftPause, !machine.isOverdrawn { endPause() }
        case .handover(.state(let state)):
            // Its bytes are part of a larger buffer.
            machine.keep.state = ByteBuffer(bytes: state.readableBytesView)
        case .end(let end): run(machine.ended(end, id: Digest.randomName()))
        case .registered(let request, let iq): run(machine.registered(request: request, iq: iq))
        case .features, .open, .enable, .resume, .acknowledged, .detached, .close, .register, .handover: return
        }
        if !isHeldUp { process() }
    }

    // MARK: - The hub's regular look

    /// Pings a silent client, and ends a connection whose client is gone or does not read.
    func look(now: NIODeadline) {
        guard let context, isConnected else { return }
        let timeouts = hub.configuration.timeouts
        let buffered = bufferedBytes(context)
        let drained = writtenBytes - buffered
        if buffered == 0 || drained > drainedBytes {
            drainedBytes = drained
            drainedAt = now
        } else if now - drainedAt >= TimeAmount(timeouts.write) {
            logger.info("the client does not read", metadata: ["peer": "\(clientAddress)"])
            hub.metrics.slowClients.increment()
            return run(machine.giveUp())
        }
        guard machine.phase == .session, !isReadPaused else { return }
        if let pingSent {
            guard now - pingSent >= TimeAmount(timeouts.ping) else { return }
            logger.info("the client does not answer", metadata: ["peer": "\(clientAddress)"])
            run(machine.giveUp())
        } else if now - lastInbound >= TimeAmount(timeouts.pingAfter) {
            pingSent = now
            send(machine.ping(id: Digest.randomName()))
        }
    }
}
