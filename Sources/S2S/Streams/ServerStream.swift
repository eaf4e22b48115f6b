// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import SASL
import TLS
import XML
import XMPPCore
import XMPPStream

/// One stream between servers on its channel: reads, asks its machine, does what that says.
///
/// What is written during a turn of the loop goes out at its end, in one piece. A peer with too many stanzas that are not
/// settled is read no further. By file: `+Stanzas` what is said after the negotiation, `+Management` XEP-0198.
final class ServerStream: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// The two ends' conversation.
    enum Machine {
        case receiving(ReceivingStream)
        case initiating(InitiatingStream)
    }

    let hub: S2SHub
    var machine: Machine
    var ledger = StreamLedger()
    var management = ManagementPhase.off
    var logger: Logger
    /// The other end's address.
    private(set) var address = ""
    let opened: NIODeadline
    /// TLS begins with the first byte.
    var isDirectTLS = false
    /// TLSA records that DNSSEC proved, for the peer's certificate.
    var associations: [TLSAssociation] = []
    /// The host that a secure record of DNS named.
    var targetHost: String?
    /// The address that limits count by.
    var ipAddress = ""
    /// What was done to find and reach the peer, in words.
    var steps: [String] = []
    /// It was made for a test, and this hears of its outcome.
    var whenTested: (() -> Void)?
    /// How the pairs were proved to us, for lists.
    var methods: [FederationPair: AuthenticationMethod] = [:]
    let reader: StreamReader
    private(set) var context: ChannelHandlerContext?
    private var tls: TLSHandler?
    private(set) var isClosed = false
    /// We end the stream, and not because of what the peer said: what it says until it hears that is still taken.
    private var isEndingInOrder = false
    /// The process ends: the peer is not read until the stream does, too.
    var isReadingOver = false
    /// Why it ended, for those who wait.
    private(set) var failure: FederationFailure?

    private var out = ByteBuffer()
    private var isFlushWanted = false
    /// What the socket is about to take, where the peer does not count.
    private var uncounted: [OutgoingStanza] = []
    /// Stanzas of this turn, which the ledger has.
    private var counted = 0
    private var isReadWanted = false
    private var isProcessing = false
    private var writtenBytes = 0
    private var drainedBytes = 0
    private var drainedAt: NIODeadline
    private(set) var lastInbound: NIODeadline
    /// When a stanza went over it last, in either direction.
    var lastUsed: NIODeadline
    private var pingSent: NIODeadline?
    private var authenticationTimer: Scheduled<Void>?
    private var closeTimer: Scheduled<Void>?

    init(hub: S2SHub, _ machine: Machine, now: NIODeadline) {
        self.hub = hub
        self.machine = machine
        self.opened = now
        self.drainedAt = now
        self.lastInbound = now
        self.lastUsed = now
        self.reader = StreamReader(
            trust: .foreign,
            contentNamespaces: [Namespace.server],
            limits: hub.limitsBeforeAuthentication,
            parsers: hub.parsers
        )
        self.logger = hub.logger
        self.logger[metadataKey: "conn"] = "\(self.ledger.name.prefix(8))"
    }

    // MARK: - What it is

    var isInitiating: Bool { if case .initiating = self.machine { true } else { false } }

    var identity: PeerIdentity? {
        switch self.machine {
        case .receiving(let machine): machine.identity
        case .initiating(let machine): machine.identity
        }
    }

    /// The pairs that are proved.
    var pairs: [FederationPair] {
        switch self.machine {
        case .receiving(let machine): Array(machine.pairs.keys)
        case .initiating(let machine): Array(machine.pairs)
        }
    }

    /// Whether stanzas for the pair may be sent over it now.
    func carries(_ pair: FederationPair) -> Bool {
        guard !self.isClosed, !self.management.isPending else { return false }
        switch self.machine {
        case .receiving(let machine):
            return machine.phase == .open && machine.isBidirectional && machine.pairs[pair] != nil
        case .initiating(let machine): return machine.phase == .open && machine.pairs.contains(pair)
        }
    }

    var isBidirectional: Bool {
        switch self.machine {
        case .receiving(let machine): machine.isBidirectional
        case .initiating(let machine): machine.isBidirectional
        }
    }

    var isClosing: Bool {
        switch self.machine {
        case .receiving(let machine): machine.phase == .closing
        case .initiating(let machine): machine.phase == .closing
        }
    }

    /// What was done up to now, in words.
    var allSteps: [String] {
        if case .initiating(let machine) = self.machine { self.steps + machine.steps } else { self.steps }
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.authenticationTimer == nil else { return }
        self.address = context.channel.remoteAddress?.description ?? ""
        let timeout = TimeAmount(self.hub.configuration.timeouts.authentication)
        self.authenticationTimer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { self.timedOut() }
        if self.isDirectTLS { return self.startTLS(domain: nil) }
        self.mutateInitiating { $0.start() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    /// A test took too long.
    func failTest(_ failure: FederationFailure) {
        self.failure = self.failure ?? failure
        self.whenTested?()
    }

    /// There was no connection to begin with.
    func neverConnected(_ failure: FederationFailure?) {
        self.failure = self.failure ?? failure
        if let text = self.failure?.text, self.steps.last != text { self.steps.append(text) }
        self.end()
    }

    /// Forgets the connection, once.
    private func end() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.authenticationTimer?.cancel()
        self.closeTimer?.cancel()
        self.whenTested?()
        self.hub.ended(self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case TLSError.handshakeFailed(let reason) = error {
            self.hub.metrics.handshakeFailures.increment()
            self.logger.notice("TLS failed", metadata: ["peer": "\(self.peer)", "reason": "\(reason)"])
            self.failure =
                self.failure
                ?? FederationFailure(.remoteServerTimeout, "TLS with \(self.peer) failed: \(reason)")
        } else {
            self.logger.debug("connection failed", metadata: ["reason": "\(error)"])
        }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let info) = event as? TLSEvent { self.handshakeCompleted(info) }
        context.fireUserInboundEventTriggered(event)
    }

    private func handshakeCompleted(_ info: TLSInfo) {
        let certificate = self.tls?.peerCertificate()
        let identity = PeerIdentity(
            tlsVersion: info.version,
            cipher: info.cipher,
            certificate: info.peerCertificate,
            judge: { domain in
                certificate?.verdict(for: domain) ?? .doubtful("is not there")
            }
        )
        self.mutateReceiving { $0.handshakeCompleted(identity) }
        self.mutateInitiating { $0.handshakeCompleted(identity) }
        self.process()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        self.hub.metrics.bytesReceived.increment(by: buffer.readableBytes)
        self.lastInbound = self.hub.eventLoop.now
        self.pingSent = nil
        guard self.takesInput else { return }
        self.reader.receive(buffer)
        self.process()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.hub.linkMayGoOn(self) }
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if self.isHeldUp { self.isReadWanted = true } else { context.read() }
    }

    /// Who closes a stream still processes what comes until the other end closes it too (RFC 6120 §4.4).
    private var takesInput: Bool { !self.isClosing || self.isEndingInOrder }

    /// Too much of the peer's is not settled: it is read on when that is less. Or the process ends: with the stream.
    private var isHeldUp: Bool {
        guard self.takesInput else { return false }
        return self.isReadingOver && !self.isClosing
            || self.ledger.openCount >= self.hub.configuration.limits.unsettledStanzas
    }

    // MARK: - Input

    /// Takes what was read, as far as it may be taken now.
    func process() {
        guard !self.isProcessing else { return }
        self.isProcessing = true
        defer {
            self.isProcessing = false
            if self.isReadWanted, !self.isHeldUp {
                self.isReadWanted = false
                self.context?.read()
            }
        }
        do throws(StreamReader.Failure) {
            while !self.isHeldUp, self.takesInput, !self.isClosed, let event = try self.reader.next() {
                switch event {
                case .streamOpened where self.isClosing: break
                case .element(let element) where self.isClosing: self.lateElementReceived(element)
                case .streamOpened(let header): self.streamOpened(header)
                case .element(let element): self.elementReceived(element)
                case .streamClosed: self.streamClosed()
                // Internal links only.
                case .route: break
                }
            }
        } catch {
            self.isEndingInOrder = false
            self.logger.notice("bad input", metadata: ["peer": "\(self.peer)", "reason": "\(error)"])
            self.mutateReceiving { $0.readerFailed(error) }
            self.mutateInitiating { $0.readerFailed(error) }
        }
    }

    private func streamOpened(_ header: StreamHeader) {
        self.mutateReceiving { $0.streamOpened(header, id: Digest.randomName()) }
        self.mutateInitiating { $0.streamOpened(header) }
    }

    private func elementReceived(_ element: StreamElement) {
        if element.namespace == Namespace.server, Stanza.Kind(rawValue: element.name) != nil {
            return self.stanzaReceived(element)
        }
        if element.namespace == Namespace.streamManagement { return self.managementReceived(element) }
        self.mutateReceiving { $0.elementReceived(element) }
        self.mutateInitiating { $0.elementReceived(element) }
        self.featuresMayHaveCome(element)
    }

    private func streamClosed() {
        self.mutateReceiving { $0.streamClosed() }
        self.mutateInitiating { $0.streamClosed() }
        self.context?.close(promise: nil)
    }

    private func timedOut() {
        guard self.pairs.isEmpty else { return }
        self.mutateReceiving { $0.timedOut() }
        self.mutateInitiating { $0.timedOut() }
    }

    // MARK: - Actions

    /// Runs an event of the machine and does what it gives back; nothing where the machine is the other one.
    func mutateReceiving(_ body: (inout ReceivingStream) -> [ReceivingStream.Action]) {
        guard case .receiving(var receiving) = self.machine else { return }
        let actions = body(&receiving)
        self.machine = .receiving(receiving)
        for action in actions { self.run(action) }
    }

    func mutateInitiating(_ body: (inout InitiatingStream) -> [InitiatingStream.Action]) {
        guard case .initiating(var initiating) = self.machine else { return }
        let actions = body(&initiating)
        self.machine = .initiating(initiating)
        for action in actions { self.run(action) }
    }

    private func run(_ action: ReceivingStream.Action) {
        switch action {
        case .send(let buffer): self.send(buffer)
        case .startTLS(let domain): self.startTLS(domain: domain)
        case .restart: self.reader.reset()
        case .verify(let pair, let key, let streamID): self.hub.verify(pair, key: key, streamID: streamID, for: self)
        case .authenticated(let pair, let method): self.authenticated(pair, method, own: nil)
        case .close(let error):
            if let error {
                self.logger.notice(
                    "a stream was refused",
                    metadata: [
                        "direction": "in", "peer": "\(self.peer)", "remote": "\(self.remote)",
                        "local": "\(self.local)", "reason": "\(error.condition.rawValue): \(error.text ?? "")",
                    ]
                )
                self.hub.refused(self.remote, error.text ?? error.condition.rawValue)
            }
            self.close()
        }
    }

    private func run(_ action: InitiatingStream.Action) {
        switch action {
        case .send(let buffer): self.send(buffer)
        case .startTLS: self.startTLS(domain: self.remote)
        case .restart: self.reader.reset()
        case .authenticated(let pair, let peer, let own): self.authenticated(pair, peer, own: own)
        case .refused(let pair, let failure): self.hub.refused(pair, failure)
        case .verified(let pair, let streamID, let verification):
            self.hub.verified(pair, streamID: streamID, verification)
        case .close(let failure):
            if let failure {
                self.failure = self.failure ?? failure
                self.logger.notice(
                    "a stream failed",
                    metadata: [
                        "direction": "out", "peer": "\(self.peer)", "remote": "\(self.remote)",
                        "local": "\(self.local)", "reason": "\(failure.text)",
                    ]
                )
            }
            // The peer may take its time to close as well.
            self.whenTested?()
            self.close()
        }
    }

    private func authenticated(_ pair: FederationPair, _ method: AuthenticationMethod, own: AuthenticationMethod?) {
        self.authenticationTimer?.cancel()
        self.methods[pair] = method
        self.reader.limits = self.hub.limits
        // One line for each pair and direction: what an operator looks for first.
        self.logger.info(
            "a domain pair is authenticated",
            metadata: [
                "direction": "\(self.isInitiating ? "out" : "in")", "local": "\(pair.local)",
                "remote": "\(pair.remote)", "peer": "\(self.peer)",
                "transport": "\(self.identity == nil ? "none" : self.isDirectTLS ? "direct" : "starttls")",
                "tls": "\(self.identity?.tlsVersion ?? "none")",
                "authentication": "\(self.isInitiating ? (own ?? method).rawValue : method.rawValue)",
                "peer-authentication": "\(method.rawValue)", "bidi": "\(self.isBidirectional)",
            ]
        )
        self.hub.authenticated(self, pair)
        self.whenTested?()
    }

    private func startTLS(domain: String?) {
        self.flush()
        guard let context else { return }
        do {
            let handler = try self.hub.makeTLS(for: self, domain: domain)
            self.tls = handler
            try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
        } catch {
            self.logger.error("cannot start TLS", metadata: ["reason": "\(error)"])
            context.close(promise: nil)
        }
    }

    /// The peer has a while to end its side.
    private func close() {
        self.flush()
        guard let context, self.closeTimer == nil else { return }
        let wait = TimeAmount(self.hub.configuration.timeouts.close)
        self.closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: wait) {
            self.context?.close(promise: nil)
        }
        if self.isReadWanted {
            self.isReadWanted = false
            context.read()
        }
        // A peer that is gone does not answer; who refused it waits for nothing.
        self.hub.closing(self)
    }

    /// Ends the stream in an orderly way.
    func finish(_ error: StreamError? = nil, _ failure: FederationFailure? = nil) {
        if !self.isClosing { self.isEndingInOrder = error == nil || error?.condition == .systemShutdown }
        self.mutateReceiving { $0.close(error) }
        self.mutateInitiating { $0.close(failure, saying: error) }
    }

    /// Ends the connection at once: the peer is not there any more.
    func abort(_ failure: FederationFailure) {
        self.failure = self.failure ?? failure
        self.logger.notice("the peer is gone", metadata: ["remote": "\(self.remote)", "reason": "\(failure.text)"])
        self.context?.close(promise: nil)
    }

    // MARK: - Names

    /// The remote domain that the stream is about, or empty.
    var remote: String {
        switch self.machine {
        case .receiving(let machine): machine.remote ?? ""
        case .initiating(let machine): machine.first.remote
        }
    }

    var local: String {
        switch self.machine {
        case .receiving(let machine): machine.local ?? ""
        case .initiating(let machine): machine.first.local
        }
    }

    /// Whom logs name: the domain if one is known, else the address.
    var peer: String { self.remote.isEmpty ? self.address : self.remote }

    // MARK: - Output

    func send(_ buffer: ByteBuffer) {
        self.write { $0.writeImmutableBuffer(buffer) }
    }

    func write(_ body: (inout ByteBuffer) -> Void) {
        body(&self.out)
        self.wantFlush()
    }

    /// Writes a stanza of ours.
    func send(_ stanza: OutgoingStanza) {
        self.lastUsed = self.hub.eventLoop.now
        if self.ledger.isOn {
            self.ledger.sent(stanza)
            self.counted += 1
        } else {
            self.uncounted.append(stanza)
        }
        self.write { stanza.stanza.write(to: &$0) }
    }

    func wantFlush() {
        guard !self.isFlushWanted else { return }
        self.isFlushWanted = true
        self.hub.wantFlush(self)
    }

    /// The process stood still in this turn of the loop, so that others may have given it up and sent the same: its
    /// stanzas do not go out any more. The connection goes with them, since what else was written may stand among them.
    func discard() {
        guard self.counted > 0 || !self.uncounted.isEmpty else { return self.flush() }
        self.isFlushWanted = false
        let stanzas = self.ledger.takeUnsent(self.counted) + self.uncounted
        self.counted = 0
        self.uncounted = []
        self.out = ByteBuffer()
        let failure = FederationFailure(.remoteServerTimeout, "this server stood still for a while")
        for stanza in stanzas { self.hub.fail(stanza, failure) }
        self.abort(failure)
    }

    /// Sends what was written in this turn of the loop.
    func flush() {
        self.isFlushWanted = false
        self.counted = 0
        guard let context, !self.isClosed else {
            self.out = ByteBuffer()
            return
        }
        if self.ledger.requestIsDue() { self.out.writeImmutableBuffer(ManagementElement.request) }
        guard self.out.readableBytes > 0 else { return }
        let buffer = self.out
        self.out = ByteBuffer()
        self.writtenBytes += buffer.readableBytes
        self.hub.metrics.bytesSent.increment(by: buffer.readableBytes)
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: self.promiseForUncounted(context))
        if !context.channel.isWritable, self.bufferedBytes > self.hub.configuration.limits.outputBytes {
            self.abort(FederationFailure(.remoteServerTimeout, "\(self.peer) does not read"))
        }
    }

    /// Where the peer does not count, a stanza is done with when the socket has taken it.
    private func promiseForUncounted(_ context: ChannelHandlerContext) -> EventLoopPromise<Void>? {
        guard !self.uncounted.isEmpty else { return nil }
        let batch = self.uncounted
        self.uncounted = []
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.hub.acknowledged(batch)
            case .failure: self.hub.inDoubt(batch, self.failure)
            }
        }
        return promise
    }

    /// What the socket has not taken, and what is about to be written to it.
    var pendingBytes: Int { self.bufferedBytes + self.out.readableBytes }

    var bufferedBytes: Int {
        guard let context else { return 0 }
        return (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    // MARK: - The hub's regular look

    /// Pings a silent peer, and ends a connection whose peer is gone or does not read.
    func look(now: NIODeadline) {
        guard self.context != nil, !self.isClosed, !self.isClosing else { return }
        let timeouts = self.hub.configuration.timeouts
        let buffered = self.bufferedBytes
        let drained = self.writtenBytes - buffered
        if buffered == 0 || drained > self.drainedBytes {
            self.drainedBytes = drained
            self.drainedAt = now
        } else if now - self.drainedAt >= TimeAmount(timeouts.write) {
            return self.abort(FederationFailure(.remoteServerTimeout, "\(self.peer) does not read"))
        }
        guard !self.pairs.isEmpty, !self.isHeldUp else { return }
        if let pingSent {
            guard now - pingSent >= TimeAmount(timeouts.ping) else { return }
            self.abort(FederationFailure(.remoteServerTimeout, "\(self.peer) does not answer"))
        } else if now - self.lastInbound >= TimeAmount(timeouts.pingAfter) {
            // A peer that does not count has nothing to answer: what cannot be written tells that it is gone.
            if self.ledger.isOn {
                self.pingSent = now
                self.send(ManagementElement.request)
            } else {
                self.send(ByteBuffer(staticString: " "))
            }
        }
    }
}
