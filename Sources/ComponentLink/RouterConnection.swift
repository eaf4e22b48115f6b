// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
import NIOPosix

/// What a `RouterConnection` tells. Every call comes on its event loop.
package protocol RouterConnectionOwner: AnyObject {
    /// The names are bound there.
    func connectionUp(_ connection: RouterConnection)
    /// An instance, a component, a wrapper or a stanza came, or what is none of these.
    func connection(_ connection: RouterConnection, received action: ComponentLinkStateMachine.Action)
    /// A burst is about to be handed over.
    func connectionReadBegan(_ connection: RouterConnection)
    /// All of the burst was handed over.
    func connectionReadComplete(_ connection: RouterConnection)
    /// It is gone, or could not be made (`wasUp`). Unless it was stopped it tries again by itself.
    func connection(_ connection: RouterConnection, ended failure: LinkFailure, wasUp: Bool)
}

/// A link to one router: connects, declares, and connects again whenever it is lost.
///
/// Confined to its event loop.
package final class RouterConnection {
    /// The link among those of its owner; never used again.
    package let id: Int
    /// Where the router is.
    package let address: RouterAddress
    let configuration: InstanceLink.Configuration
    let eventLoop: any EventLoop
    private let logger: Logger
    private weak var owner: (any RouterConnectionOwner)?

    /// The name of the router's own instance, which it tells first; nil while the link is down.
    package private(set) var routerName: String?
    /// All that were bound when the link came up have been told.
    package private(set) var isComplete = false
    /// The last try came to nothing.
    package private(set) var hasFailed = false
    /// A channel left it, since nothing was acknowledged any more; nothing was read on it since.
    package var isSuspect = false

    private var handler: ComponentLinkHandler?
    private var backoff: ReconnectBackoff
    /// The number of the try to connect: each try and each stop raises it, and what an older one brings is refused.
    private(set) var attempt = 0
    private var reconnect: Scheduled<Void>?
    private var isStopped = true
    private var stopPromise: EventLoopPromise<Void>?

    /// Makes a link; `start` connects it. The owner is not kept.
    package init(
        id: Int,
        to address: RouterAddress,
        _ configuration: InstanceLink.Configuration,
        eventLoop: any EventLoop,
        logger: Logger,
        owner: any RouterConnectionOwner
    ) {
        self.id = id
        self.address = address
        self.configuration = configuration
        self.eventLoop = eventLoop
        var logger = logger
        logger[metadataKey: "router"] = "\(address)"
        self.logger = logger
        self.owner = owner
        self.backoff = configuration.backoff
    }

    /// Whether what is written now travels.
    package var isUp: Bool { self.handler?.isUp ?? false }

    /// Bytes that wait to be written.
    package var queuedBytes: Int { self.handler?.queuedBytes ?? 0 }

    /// Connects, and keeps connecting until `stop`.
    package func start() {
        self.eventLoop.preconditionInEventLoop()
        guard self.isStopped else { return }
        self.isStopped = false
        // One that was stopped and has not ended yet is followed by the next when it has.
        if self.handler == nil { self.connect() }
    }

    /// Ends the stream cleanly and does not connect again; done when the connection is closed.
    ///
    /// It holds at any moment: a connection that is still being made is closed before it says anything.
    package func stop() -> EventLoopFuture<Void> {
        self.isStopped = true
        self.attempt += 1
        self.reconnect?.cancel()
        self.reconnect = nil
        guard let handler = self.handler else { return self.eventLoop.makeSucceededVoidFuture() }
        let promise = self.stopPromise ?? self.eventLoop.makePromise(of: Void.self)
        self.stopPromise = promise
        handler.stop()
        return promise.futureResult
    }

    /// Appends an element to what goes out at the end of this turn of the loop; false while the link is down, and for
    /// what is longer than `elementBytes`.
    package func write(_ body: (inout ByteBuffer) -> Void) -> Bool {
        guard let handler = self.handler, handler.isUp else { return false }
        guard handler.write(body) else {
            self.logger.error("an element is too long for the link", metadata: ["peer": "\(self.name)"])
            return false
        }
        return true
    }

    private var name: String { self.configuration.identity.name }

    private func connect() {
        let configuration = self.configuration
        let address = self.address
        self.attempt += 1
        let attempt = self.attempt
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let bootstrap = ClientBootstrap(group: self.eventLoop)
            .connectTimeout(configuration.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // A host may have several addresses: each that is tried has a channel of its own.
                    let handler = ComponentLinkHandler(connection: bound.value, attempt: attempt)
                    if let security = try address.makeTLSHandler() {
                        try channel.pipeline.syncOperations.addHandler(security)
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        bootstrap.connect(host: self.address.host, port: self.address.port).assumeIsolated().whenFailure { error in
            guard attempt == self.attempt else { return }
            self.ended(.unreachable("\(error)"), wasUp: false)
        }
    }

    // MARK: The handler's reports

    /// A connection is there; false if it is not wanted any more.
    func began(_ handler: ComponentLinkHandler, attempt: Int) -> Bool {
        guard attempt == self.attempt, self.handler == nil else { return false }
        self.handler = handler
        return true
    }

    func readBegan() {
        self.isSuspect = false
        self.owner?.connectionReadBegan(self)
    }

    func readComplete() {
        self.owner?.connectionReadComplete(self)
    }

    /// Carries out what the machine decided about the link's contents; the handler does the rest.
    func handle(_ action: ComponentLinkStateMachine.Action) {
        switch action {
        case .linkUp:
            self.backoff.reset()
            self.hasFailed = false
            self.logger.info("link to the router is up", metadata: ["peer": "\(self.name)"])
            self.owner?.connectionUp(self)
        case .instanceAvailable(let instance):
            if self.routerName == nil { self.routerName = instance.name }
            self.owner?.connection(self, received: action)
        case .instancesComplete:
            self.isComplete = true
            self.owner?.connection(self, received: action)
        case .nothing, .send, .reset, .instanceUnavailable, .deliverRoute, .deliverStanza, .ignore:
            self.owner?.connection(self, received: action)
        }
    }

    /// The handler's report of its end.
    func ended(_ handler: ComponentLinkHandler, _ failure: LinkFailure, wasUp: Bool) {
        guard self.handler === handler else { return }
        self.ended(failure, wasUp: wasUp)
    }

    private func ended(_ failure: LinkFailure, wasUp: Bool) {
        self.handler = nil
        self.routerName = nil
        self.isComplete = false
        let isNews = wasUp || !self.hasFailed
        self.hasFailed = true
        let failure = self.isStopped ? .stopped : failure
        let metadata: Logger.Metadata = ["peer": "\(self.name)", "reason": "\(failure)"]
        if self.isStopped {
            self.logger.info("link to the router ended", metadata: metadata)
        } else {
            // Each further try would say the same.
            self.logger.log(level: isNews ? .warning : .debug, "link to the router is down", metadata: metadata)
            self.scheduleReconnect()
        }
        self.owner?.connection(self, ended: failure, wasUp: wasUp)
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
