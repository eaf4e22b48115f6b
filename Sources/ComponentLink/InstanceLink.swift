// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
import NIOPosix
import XML
package import XMPPCore

/// An instance's link to the router: connects, declares, and connects again whenever it is lost.
///
/// Everything is called on its event loop, and its delegate is called there. What is sent is collected and written
/// once per turn of the loop. When more than `queueBytes` wait for the router, the link is reset; an element that the
/// router would end the link for is refused.
///
/// What is said about sessions goes through a reliable channel for each instance (`InstanceLink+Channels.swift`), so it
/// outlives the link: it arrives once and in order, or the other instance is told to be gone. Plain stanzas, and what is
/// said to those without a channel, are refused (`false`) while the link is down, and lost if it breaks before they are
/// written.
package final class InstanceLink {
    /// Where the router is and what bounds the link.
    package struct Configuration: Sendable {
        /// The router's host.
        package var host: String
        /// The router's port.
        package var port: Int
        /// Name, secret and declaration.
        package var identity: ComponentLinkStateMachine.Configuration
        /// Bytes that may wait to be written.
        package var queueBytes = 16 << 20
        /// Bytes of one element, in both directions: the router's `internal_stanza_bytes`. The queue has room for a few.
        package var elementBytes = 4 << 20 {
            didSet { self.queueBytes = max(self.queueBytes, 4 * self.elementBytes) }
        }
        /// Time for a connection and its handshake.
        package var connectTimeout: TimeAmount = .seconds(10)
        /// How often white space goes out on a silent link; nothing read for three times as long resets it.
        package var keepAlive: TimeAmount = .seconds(20)
        /// The delays between tries.
        package var backoff = ReconnectBackoff()
        /// The bounds of the channel to each instance.
        package var channel = ChannelLimits()

        /// Makes a configuration with the default bounds.
        package init(host: String, port: Int, identity: ComponentLinkStateMachine.Configuration) {
            self.host = host
            self.port = port
            self.identity = identity
        }
    }

    /// The loop that all of this runs on.
    package let eventLoop: any EventLoop
    /// What answers `jackdawctl`; nil answers nothing.
    package var responder: AdminResponder?
    /// Told of everything that happens.
    package weak var delegate: (any InstanceLinkDelegate)?
    /// The instances and components that are bound, by name; empty while the link is down.
    package private(set) var instances: [String: LinkInstance] = [:]
    /// Those that the delegate takes for bound.
    var known: [String: LinkInstance] = [:]
    /// The channels, by the name of the other instance, once something was said.
    var channels: [String: PeerChannel] = [:]
    /// Of them those that took something in the burst that is read.
    var touchedChannels: [PeerChannel] = []
    /// The one that took something last.
    var lastChannel: PeerChannel?
    var isTickScheduled = false
    /// Bytes that other instances have not acknowledged.
    package internal(set) var keptBytes = 0

    /// The addresses of stanzas that came lately.
    private let jids = JIDCache()
    let configuration: Configuration
    let logger: Logger
    private var backoff: ReconnectBackoff
    private var connection: ComponentLinkHandler?
    /// The number of the try to connect: each try and each stop raises it, and what an older one brings is refused.
    private(set) var attempt = 0
    private var reconnect: Scheduled<Void>?
    private(set) var isStopped = true
    private var stopPromise: EventLoopPromise<Void>?

    /// Makes a link; `start` connects it.
    package init(_ configuration: Configuration, eventLoop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
        self.backoff = configuration.backoff
    }

    /// The instance's own name.
    package var name: String { self.configuration.identity.name }

    /// Whether what is sent now travels.
    package var isUp: Bool { self.connection?.isUp ?? false }

    /// Bytes that wait to be written, for a metric.
    package var queuedBytes: Int { self.connection?.queuedBytes ?? 0 }

    /// The instance that serves `name`, by its own name or by declaration.
    package func instance(serving name: String) -> LinkInstance? {
        if let instance = self.instances[name] { return instance }
        return self.instances.values.first { $0.names.contains(name) }
    }

    /// Connects, and keeps connecting until `stop`.
    package func start() {
        self.eventLoop.preconditionInEventLoop()
        guard self.isStopped else { return }
        self.isStopped = false
        // One that was stopped and has not ended yet is followed by the next when it has.
        if self.connection == nil { self.connect() }
    }

    /// Ends the stream cleanly and does not connect again; done when the connection is closed.
    ///
    /// It holds at any moment: a connection that is still being made is closed before it says anything.
    package func stop() -> EventLoopFuture<Void> {
        self.isStopped = true
        self.attempt += 1
        self.reconnect?.cancel()
        self.reconnect = nil
        guard let connection = self.connection else { return self.eventLoop.makeSucceededVoidFuture() }
        let promise = self.stopPromise ?? self.eventLoop.makePromise(of: Void.self)
        self.stopPromise = promise
        connection.stop()
        return promise.futureResult
    }

    /// Sends a wrapper to an instance through its channel; false for what is longer than `elementBytes`.
    @discardableResult
    package func send(_ message: SessionMessage, to instance: String) -> Bool {
        let channel = self.channel(to: instance)
        return self.send(message.message(with: channel.head), through: channel)
    }

    /// Sends the stanza of a session through the channel to its instance; false for what is longer than `elementBytes`.
    @discardableResult
    package func send(
        _ stanza: Stanza,
        number: UInt64?,
        id: String? = nil,
        by route: SessionRoute
    ) -> Bool {
        self.send(route.head.message(stanza, number: number, id: id), through: self.channel(to: route.instance))
    }

    /// Sends a message that was made before, through the channel to its head's instance.
    @discardableResult
    package func send(_ message: ChannelMessage) -> Bool {
        self.send(message, through: self.channel(to: message.head.to))
    }

    /// Sends a stanza by the domain of its `to`; false while the link is down.
    @discardableResult
    package func send(_ stanza: Stanza) -> Bool {
        self.write { stanza.write(to: &$0) }
    }

    /// Sends a request to an instance: in order with what else is said to it, if it has a channel; else false while the
    /// link is down.
    @discardableResult
    package func send(_ request: AdminRequest, to instance: String) -> Bool {
        self.sendByChannelOrPlain(request, to: instance)
    }

    /// Sends an answer to an instance, likewise.
    @discardableResult
    package func send(_ response: AdminResponse, to instance: String) -> Bool {
        self.sendByChannelOrPlain(response, to: instance)
    }

    private func sendByChannelOrPlain(_ content: some WrapperContent, to instance: String) -> Bool {
        if let channel = self.channels[instance] {
            return self.send(content.message(with: channel.head), through: channel)
        }
        return self.write { content.write(with: RouteHead(from: self.name, to: instance), into: &$0) }
    }

    func write(_ body: (inout ByteBuffer) -> Void) -> Bool {
        guard let connection = self.connection, connection.isUp else { return false }
        guard connection.write(body) else {
            self.logger.error("an element is too long for the link", metadata: ["peer": "\(self.name)"])
            return false
        }
        return true
    }

    private func connect() {
        let configuration = self.configuration
        self.attempt += 1
        let attempt = self.attempt
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let bootstrap = ClientBootstrap(group: self.eventLoop)
            .connectTimeout(configuration.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // A host may have several addresses: each that is tried has a channel of its own.
                    let handler = ComponentLinkHandler(link: bound.value, attempt: attempt)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        bootstrap.connect(host: configuration.host, port: configuration.port).assumeIsolated().whenFailure { error in
            guard attempt == self.attempt else { return }
            self.ended(.unreachable("\(error)"), wasUp: false)
        }
    }

    /// A connection is there; false if it is not wanted any more.
    func connectionBegan(_ handler: ComponentLinkHandler, attempt: Int) -> Bool {
        guard attempt == self.attempt, self.connection == nil else { return false }
        self.connection = handler
        return true
    }

    /// The handler's report of its end.
    func connectionEnded(_ handler: ComponentLinkHandler, _ failure: LinkFailure, wasUp: Bool) {
        guard self.connection === handler else { return }
        self.ended(failure, wasUp: wasUp)
    }

    private func ended(_ failure: LinkFailure, wasUp: Bool) {
        self.connection = nil
        self.instances = [:]
        self.waysLost()
        let metadata: Logger.Metadata = ["peer": "\(self.name)", "reason": "\(failure)"]
        if self.isStopped {
            self.logger.info("link to the router ended", metadata: metadata)
        } else {
            self.logger.warning("link to the router is down", metadata: metadata)
            self.scheduleReconnect()
        }
        if wasUp {
            self.delegate?.link(self, down: self.isStopped ? .stopped : failure)
        } else {
            self.delegate?.link(self, notUp: failure)
        }
        self.stopPromise?.succeed()
        self.stopPromise = nil
    }

    private func scheduleReconnect() {
        guard self.reconnect == nil else { return }
        let delay = self.backoff.next(random: Double.random(in: 0...1))
        let wait = TimeAmount(delay)
        self.reconnect = self.eventLoop.assumeIsolated().scheduleTask(in: wait) {
            self.reconnect = nil
            guard !self.isStopped else { return }
            self.connect()
        }
    }
}

extension InstanceLink {
    /// Carries out what the machine decided about the link's contents; the handler does the rest.
    func handle(_ action: ComponentLinkStateMachine.Action) {
        switch action {
        case .linkUp:
            self.backoff.reset()
            self.logger.info("link to the router is up", metadata: ["peer": "\(self.name)"])
            self.delegate?.linkUp(self)
        case .instanceAvailable(let instance):
            self.instances[instance.name] = instance
            self.wayFound(to: instance)
        case .instanceUnavailable(let instance):
            self.instances[instance.name] = nil
            self.wayLost(to: instance.name)
        case .instancesComplete:
            self.delegate?.linkInstancesComplete(self)
        case .deliverRoute(let route):
            self.deliver(route)
        case .deliverStanza(let element):
            do {
                self.delegate?.link(self, received: try Stanza(element))
            } catch {
                self.logger.warning("dropped a stanza", metadata: ["reason": "\(error)"])
            }
        case .ignore(let fault):
            self.logger.warning("dropped an element of the link", metadata: ["reason": "\(fault)"])
        case .nothing, .send, .reset:
            break
        }
    }

    private func deliver(_ route: RouteFrame) {
        if route.isOfChannel, !self.takes(route) { return }
        if !route.isUnreachable, let delegate, delegate.link(self, takes: route) { return }
        do throws(LinkFault) {
            if let message = try SessionMessage(route, jids: self.jids) {
                self.delegate?.link(self, received: message, from: route.from)
            } else {
                try self.deliverAdmin(route)
            }
        } catch {
            self.handle(.ignore(error))
        }
    }

    private func deliverAdmin(_ route: RouteFrame) throws(LinkFault) {
        guard let inner = route.inner() else { throw .noPayload }
        if inner.name == "response" {
            guard !route.isUnreachable else { return }
            self.delegate?.link(self, received: try AdminResponse(inner), from: route.from)
            return
        }
        let request = try AdminRequest(inner)
        if route.isUnreachable {
            self.delegate?.link(self, returned: request, to: route.to)
            return
        }
        self.responder?.respond(to: request).assumeIsolated().whenSuccess { response in
            guard !self.send(response, to: route.from), self.isUp else { return }
            let failure = AdminResponse.Failure("resource-constraint", "the answer is too long for the link")
            self.send(AdminResponse(id: response.id, error: failure), to: route.from)
        }
    }
}
