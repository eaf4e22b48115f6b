// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Daemon
import DequeModule
import Logging
import NIOCore
import SASL
import Storage
import TLS
import XML
import XMPPCore
import XMPPStream

/// How TLS begins on a listener.
enum ListenerMode: Sendable {
    case startTLS
    case direct
}

/// What all connections of the process share: limits, sessions by name, the owners of domains.
///
/// Confined to the process's event loop. It knows no sockets and no database: those come in as closures, so that
/// tests bring their own.
final class C2SHub {
    /// What the hub asks of the world.
    struct Services {
        /// Sends to an instance; false if it cannot be now.
        var send: (SessionMessage, String) -> Bool
        /// Sends the stanza of a session's client, made a message before; false if it cannot be now.
        var forward: (ChannelMessage) -> Bool
        /// The name of this instance on the link.
        var name: String
        /// Bytes that wait on the link.
        var queuedBytes: () -> Int
        /// The credentials of a user, one for each hash; none for a user that does not exist.
        var credentials: (BareJID) -> EventLoopFuture<[SCRAMCredentials]>
        /// Runs what takes milliseconds on a thread of its own.
        var compute: (@escaping @Sendable () -> Bool) -> EventLoopFuture<Bool>
    }

    let eventLoop: any EventLoop
    let logger: Logger
    let metrics: C2SMetrics
    private(set) var configuration: C2SConfiguration
    private(set) var machineConfiguration: C2SConnectionStateMachine.Configuration
    var limiter: ConnectionLimiter
    var loginThrottle: LoginThrottle
    var tlsContexts: [ListenerMode: TLSContext] = [:]
    /// An idle client costs no parser.
    let parsers = StreamParserCache()
    let jids = JIDCache()
    /// What SM adds to the stream features, by domain.
    private(set) var sessionFeatures: [String: ByteBuffer] = [:]
    private(set) var isDraining = false

    private let services: Services
    private let serverSecret: [UInt8]
    private(set) var connections: [ObjectIdentifier: C2SConnectionHandler] = [:]
    /// The sessions here, and the connections that ask for one, by session name.
    var sessions: [String: C2SConnectionHandler] = [:]
    private var registrations: [String: C2SConnectionHandler] = [:]

    // Who owns sessions: the extension in C2SHub+Owners.swift.
    var owners = OwnerTable()
    /// Tells the surroundings that another map is in force.
    var whenMapChanged: () -> Void = {}
    var presentations: [String: Presentation] = [:]
    var isPresentationScheduled = false
    /// Sessions whose connection is gone, until the owner has taken that; the first that went first.
    var ghosts: Deque<C2SConnectionHandler> = []

    private var unflushed: [C2SConnectionHandler] = []
    /// While a burst of the link is read, whose end flushes.
    private var isReadingLink = false
    /// Those that wait for room on the link, the first that came first.
    private var parked: Deque<C2SConnectionHandler> = []
    private var isUnparkScheduled = false
    private var passwordChecks = 0
    /// The iterations that were warned of; operators set few.
    private var unnamedIterations: Set<Int> = []

    // Room for strangers: the extension in C2SHub+Strangers.swift.
    var strangers = ProgressOrder()
    var handshakes = ProgressOrder()
    var unfinished = UnfinishedInput()
    var handshakeQueue: [C2SConnectionHandler] = []
    var acceptWaiters: [() -> Void] = []
    var isRetryScheduled = false

    init(
        configuration: C2SConfiguration,
        serverSecret: [UInt8],
        services: Services,
        metrics: C2SMetrics,
        eventLoop: any EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration
        self.serverSecret = serverSecret
        self.services = services
        self.metrics = metrics
        self.eventLoop = eventLoop
        self.logger = logger
        machineConfiguration = configuration.machine(serverSecret: serverSecret)
        limiter = ConnectionLimiter(limits: configuration.connectionLimits)
        loginThrottle = LoginThrottle(limits: configuration.loginLimits)
    }

    /// Takes over a new configuration: limits and rules for connections from now on.
    func reload(_ configuration: C2SConfiguration) {
        self.configuration = configuration
        machineConfiguration = configuration.machine(serverSecret: serverSecret)
        limiter.limits = configuration.connectionLimits
        loginThrottle.limits = configuration.loginLimits
    }

    func tlsContext(_ mode: ListenerMode) -> TLSContext? { tlsContexts[mode] }

    var connectionCount: Int { connections.count }

    private(set) var sessionCount = 0

    // MARK: - Connections

    /// A connection came; nil if it is too many, and why.
    func accept(
        _ address: ClientAddress,
        mode: ListenerMode,
        now: NIODeadline
    ) -> Result<C2SConnectionHandler, ConnectionRefused> {
        if let refusal = isDraining ? .totalLimit : limiter.accepted(address) {
            metrics.refused.increment()
            logger.debug("connection refused", metadata: ["peer": "\(address)", "reason": "\(refusal)"])
            return .failure(ConnectionRefused(reason: refusal))
        }
        metrics.accepted.increment()
        let handler = C2SConnectionHandler(hub: self, mode: mode, address: address, now: now)
        connections[ObjectIdentifier(handler)] = handler
        strangers.progressed(ObjectIdentifier(handler), at: now)
        metrics.connections.set(connections.count)
        return .success(handler)
    }

    /// A connection is gone.
    func closed(_ handler: C2SConnectionHandler, wasAuthenticated: Bool) {
        guard connections.removeValue(forKey: ObjectIdentifier(handler)) != nil else { return }
        limiter.closed(handler.clientAddress, wasAuthenticated: wasAuthenticated)
        forgetStranger(handler)
        forget(handler)
        metrics.connections.set(connections.count)
        // Not at once: this may come from the middle of an eviction.
        if !acceptWaiters.isEmpty || !handshakeQueue.isEmpty {
            eventLoop.assumeIsolated().execute { self.retryWaiters() }
        }
    }

    /// A client logged in: it is a stranger no longer.
    func authenticated(_ handler: C2SConnectionHandler) {
        limiter.authenticated(handler.clientAddress)
        forgetStranger(handler)
    }

    private func forgetStranger(_ handler: C2SConnectionHandler) {
        strangers.remove(ObjectIdentifier(handler))
        unfinished.set(0, of: ObjectIdentifier(handler))
    }

    /// Takes the connection out of the tables of sessions.
    private func forget(_ handler: C2SConnectionHandler) {
        let name = handler.machine.sessionName
        if !handler.isGhost {
            if sessions[name] === handler { sessions[name] = nil }
            if handler.farewell != nil { keepGhost(handler) }
        }
        if handler.isSessionCounted {
            handler.isSessionCounted = false
            sessionCount -= 1
            metrics.sessions.set(sessionCount)
        }
        for (request, other) in registrations where other === handler { registrations[request] = nil }
    }

    func sessionBegan(_ handler: C2SConnectionHandler) {
        handler.isSessionCounted = true
        sessionCount += 1
        metrics.sessions.set(sessionCount)
    }

    /// A connection took over a session: whoever had it here, if SM has not ended it yet, is told.
    func renamed(_ handler: C2SConnectionHandler, from oldName: String) {
        if sessions[oldName] === handler { sessions[oldName] = nil }
        let name = handler.machine.sessionName
        let previous = sessions.updateValue(handler, forKey: name)
        if let previous, previous !== handler {
            // What it still had to tell is over with that.
            previous.farewell = nil
            forgetGhost(previous)
            previous.received(.end(SessionMessage.End(condition: .conflict, text: "the session was resumed elsewhere")))
        }
    }

    /// Flushes at the end of the link's burst, or of this turn of the loop.
    func wantFlush(_ handler: C2SConnectionHandler) {
        unflushed.append(handler)
        guard unflushed.count == 1, !isReadingLink else { return }
        eventLoop.assumeIsolated().execute { self.flush() }
    }

    /// The link's next burst begins.
    func linkReadBegan() {
        isReadingLink = true
    }

    /// All of the link's burst has been handed over.
    func linkReadComplete() {
        isReadingLink = false
        flush()
    }

    private func flush() {
        let handlers = unflushed
        unflushed.removeAll(keepingCapacity: true)
        for handler in handlers { handler.flush() }
    }

    /// Looks after all connections; to be called every few seconds.
    func look(now: NIODeadline) {
        for handler in Array(connections.values) { handler.look(now: now) }
    }

    /// Ends all connections: the process stops.
    func drain() {
        isDraining = true
        for handler in Array(connections.values) {
            handler.run(handler.machine.shutDown(id: Digest.randomName()))
        }
    }

    // MARK: - The way to SM

    /// Above this, clients wait: a link whose queue is full is reset, and then they would lose their sessions.
    private static let congestion = 4 << 20

    var isLinkCongested: Bool { services.queuedBytes() > Self.congestion }

    func park(_ handler: C2SConnectionHandler) {
        parked.append(handler)
        scheduleUnpark()
    }

    /// Clients go on one after the other, as long as what they say leaves room.
    private func scheduleUnpark() {
        guard !isUnparkScheduled else { return }
        isUnparkScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(5)) {
            self.isUnparkScheduled = false
            while !self.isLinkCongested, let handler = self.parked.popFirst() { handler.unpark() }
            if !self.parked.isEmpty { self.scheduleUnpark() }
        }
    }

    /// Sends to the owner of a connection's session; what cannot be sent now and must be is asked for again when an
    /// owner comes.
    func tell(_ message: SessionMessage, for handler: C2SConnectionHandler) {
        var message = message
        switch message.content {
        case .open, .resume:
            sessions[message.session] = handler
            handler.owner = ownerToAsk(for: handler)
        case .register(let register):
            registrations[register.request] = handler
            handler.owner = owners.anyone(serving: handler.machine.domain)
            message = SessionMessage(message.content)
        case .detached, .close:
            // The owner may be dead, or no owner any more: until it has taken this, whoever becomes it is told.
            if handler.machine.hasSession {
                handler.farewell = message.content
                handler.farewellSaid = eventLoop.now
            }
        default: break
        }
        guard let owner = handler.owner else { return }
        _ = services.send(message, owner)
    }

    func send(_ message: SessionMessage, to instance: String) {
        _ = services.send(message, instance)
    }

    /// The name of this instance.
    var name: String { services.name }

    /// Sends a client's stanza to the owner of its session.
    func forward(_ message: ChannelMessage) {
        _ = services.forward(message)
    }

    /// SM, or what claims to be it, says something.
    func received(_ message: SessionMessage, from instance: String) {
        switch message.content {
        case .features(let domain, let bytes):
            sessionFeatures[domain] = bytes
        case .handover(.map(let map)):
            received(map, from: instance)
        case .registered(let request, _):
            registrations.removeValue(forKey: request)?.received(message.content)
        default:
            guard let handler = sessions[message.session] else { return reject(message, from: instance) }
            // Another one's session, or one that waits for its owner: that one learns from the passport what was sent.
            guard handler.owner == instance else { return }
            if case .handover(.unknown) = message.content {
                handler.owner = nil
                return
            }
            guard message.attach == handler.machine.attach else { return }
            switch message.content {
            case .handover(.taken): return farewellTaken(of: handler)
            case .end where handler.isGhost: return farewellTaken(of: handler)
            default: break
            }
            handler.received(message.content)
            if handler.machine.phase == .closed || handler.machine.phase == .closing { forget(handler) }
        }
    }

    /// A stanza for a client, which goes on as it is; false for everything else.
    func takes(_ route: RouteFrame) -> Bool {
        guard let handler = sessions[route.session], handler.owner != nil, route.isFrom(handler.ownerBytes),
            route.attach == handler.machine.attach, let tag = StanzaTag(route.content),
            tag.contentEnd(in: route.content) != nil
        else { return false }
        handler.received(tag, route.content, number: route.number, id: route.id)
        return true
    }

    /// SM speaks of a session that is not here (any more): its connection broke in the meantime.
    private func reject(_ message: SessionMessage, from instance: String) {
        switch message.content {
        case .resumed(let resumed):
            let detached = SessionMessage(session: resumed.session, attach: resumed.attach, .detached)
            _ = services.send(detached, instance)
        case .stanza, .opened, .enabled:
            _ = services.send(SessionMessage(session: message.session, attach: message.attach, .detached), instance)
        default: break
        }
    }
}

/// A connection that was not taken.
struct ConnectionRefused: Error {
    let reason: ConnectionLimiter.Refusal
}

// MARK: - Credentials

extension C2SHub {
    /// Password checks that may wait for a thread: past it, logins are put off.
    private static let passwordChecksLimit = 256

    /// Looks up credentials and gives them to the connection, or, for PLAIN, checks the password with them.
    func loadCredentials(of user: BareJID, hash: SCRAMHash?, for handler: C2SConnectionHandler) {
        let isPlain = hash == nil
        guard
            loginThrottle.mayTry(account: user.description, address: handler.clientAddress, now: eventLoop.now),
            !isPlain || passwordChecks < Self.passwordChecksLimit
        else {
            logger.info("login put off", metadata: ["jid": "\(user)", "peer": "\(handler.clientAddress)"])
            return handler.credentialsUnavailable()
        }
        services.credentials(user).assumeIsolated().whenComplete { result in
            switch result {
            case .failure(let error):
                self.logger.warning("cannot read credentials", metadata: ["reason": "\(error)"])
                handler.credentialsUnavailable()
            case .success(let all):
                self.noteIterations(of: all)
                if let hash {
                    handler.credentialsLoaded(all.first { $0.hash == hash })
                } else {
                    self.checkPassword(all, for: handler)
                }
            }
        }
    }

    /// What no user who does not exist can show tells that a user exists.
    private func noteIterations(of all: [SCRAMCredentials]) {
        for iterations in all.map(\.iterations)
        where !configuration.iterations.contains(iterations) && unnamedIterations.insert(iterations).inserted {
            logger.warning(
                "credentials have iterations that sasl.former_iterations does not name: their users can be told apart",
                metadata: ["iterations": "\(iterations)"]
            )
        }
    }

    /// Any of the stored verifiers will do; the decoy has the hash that a real one would have.
    private func checkPassword(_ all: [SCRAMCredentials], for handler: C2SConnectionHandler) {
        let stored = all.first { $0.hash == .sha256 } ?? all.first
        guard let credentials = stored ?? handler.machine.decoy(hash: .sha256) else { return }
        let password = handler.machine.pendingPassword
        let isKnown = stored != nil
        passwordChecks += 1
        services.compute { credentials.matches(prepared: password) }.assumeIsolated().whenComplete { result in
            self.passwordChecks -= 1
            switch result {
            case .success(let matches): handler.passwordChecked(matches && isKnown)
            case .failure: handler.credentialsUnavailable()
            }
        }
    }
}
