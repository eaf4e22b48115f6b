// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
import XML
package import XMPPCore

/// An instance's links to the routers: connects to each, declares, and connects again whenever one is lost.
///
/// To its delegate all of them are one link: it is up while one of them is, and an instance is there while it can be
/// reached through any of them. Everything is called on its event loop, and its delegate is called there. What is sent
/// is collected and written once per turn of the loop. When more than `queueBytes` wait for a router, the link to it is
/// reset; an element that the router would end the link for is refused.
///
/// What is said about sessions goes through a reliable channel for each instance (`InstanceLink+Channels.swift`), so it
/// outlives the links: it arrives once and in order, or the other instance is told to be gone. Plain stanzas, and what is
/// said to those without a channel, go over one link, to the router where the receiver is bound; they are refused
/// (`false`) while no link is up, and lost if theirs breaks before they are written.
package final class InstanceLink {
    /// Where the routers are and what bounds the links.
    package struct Configuration: Sendable {
        /// Where the routers are, each once.
        package var routers: [RouterAddress]
        /// Name, secret and declaration.
        package var identity: ComponentLinkStateMachine.Configuration
        /// Bytes that may wait to be written to one router.
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
        package init(routers: [RouterAddress], identity: ComponentLinkStateMachine.Configuration) {
            self.routers = routers
            self.identity = identity
        }
    }

    /// The loop that all of this runs on.
    package let eventLoop: any EventLoop
    /// What answers `jackdawctl`; nil answers nothing.
    package var responder: AdminResponder?
    /// Told of everything that happens.
    package weak var delegate: (any InstanceLinkDelegate)?
    /// What the routers say of each name that is bound.
    var sightings: [String: Sightings] = [:]
    /// Those that the delegate takes for bound.
    var known: [String: LinkInstance] = [:]
    /// The channels, by the name of the other instance, once something was said.
    var channels: [String: PeerChannel] = [:]
    /// Of them those that took something in the burst that is read.
    var touchedChannels: [PeerChannel] = []
    /// The one that took something last.
    var lastChannel: PeerChannel?
    var isTickScheduled = false
    /// When this process was last seen to run.
    var lastSeen = NIODeadline.now()
    private var clock: RepeatedTask?
    /// Bytes that other instances have not acknowledged.
    package internal(set) var keptBytes = 0
    /// How often a channel went on over another router, for a metric.
    package internal(set) var switches = 0

    /// The addresses of stanzas that came lately.
    let jids = JIDCache()
    let configuration: Configuration
    let logger: Logger
    /// The links, in the order of the configuration.
    private(set) var connections: [RouterConnection] = []
    private var nextConnection = 0
    private(set) var isStopped = true
    /// Where plain stanzas go that are bound at no router in particular.
    private var plainConnection: RouterConnection?
    /// Whether the delegate was told that all bound instances have been told, since a link came up.
    var isCompleteTold = false

    /// Makes the links; `start` connects them.
    package init(_ configuration: Configuration, eventLoop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
        self.connections = configuration.routers.map { self.makeConnection(to: $0) }
    }

    private func makeConnection(to address: RouterAddress) -> RouterConnection {
        self.nextConnection += 1
        return RouterConnection(
            id: self.nextConnection,
            to: address,
            self.configuration,
            eventLoop: self.eventLoop,
            logger: self.logger,
            owner: self
        )
    }

    /// The instance's own name.
    package var name: String { self.configuration.identity.name }

    /// Whether what is sent now travels.
    package var isUp: Bool { self.connections.contains(where: \.isUp) }

    /// The links that are up, for a metric.
    package var linksUp: Int { self.connections.count(where: \.isUp) }

    /// Bytes that wait to be written, for a metric, and for those who send no faster than that: of the link for which
    /// most wait, but for one that the channels have left.
    package var queuedBytes: Int {
        var most = 0
        for connection in self.connections where !connection.isSuspect { most = max(most, connection.queuedBytes) }
        return most
    }

    /// The instances and components that are bound, by name; empty while no link is up.
    package var instances: [String: LinkInstance] { self.sightings.compactMapValues(\.current) }

    /// The first instance, by name, that serves `name`, by its own name or by declaration.
    package func instance(serving name: String) -> LinkInstance? {
        self.instances(serving: name).first
    }

    /// The instances that serve `name`, in the order of their names.
    package func instances(serving name: String) -> [LinkInstance] {
        if let instance = self.sightings[name]?.current { return [instance] }
        return self.sightings.values.compactMap(\.current).filter { $0.names.contains(name) }.sorted {
            $0.name < $1.name
        }
    }

    /// Connects, and keeps connecting until `stop`.
    package func start() {
        self.eventLoop.preconditionInEventLoop()
        self.isStopped = false
        self.startClock()
        for connection in self.connections { connection.start() }
    }

    private func startClock() {
        guard self.clock == nil else { return }
        self.lastSeen = .now()
        let link = NIOLoopBound(WeakLink(link: self), eventLoop: self.eventLoop)
        self.clock = self.eventLoop.scheduleRepeatedTask(initialDelay: Self.clockInterval, delay: Self.clockInterval) {
            _ in
            link.value.link?.lookAtClock()
        }
    }

    private static let clockInterval = TimeAmount.milliseconds(250)

    private struct WeakLink {
        weak var link: InstanceLink?
    }

    /// Ends the streams cleanly and does not connect again; done when the connections are closed.
    ///
    /// It holds at any moment: a connection that is still being made is closed before it says anything.
    package func stop() -> EventLoopFuture<Void> {
        self.isStopped = true
        self.clock?.cancel()
        self.clock = nil
        return EventLoopFuture.andAllComplete(self.connections.map { $0.stop() }, on: self.eventLoop)
    }

    /// Links to these routers from now on: to new ones at once, and no longer to those that are not among them.
    package func setRouters(_ addresses: [RouterAddress]) {
        let former = self.connections
        self.connections = addresses.map { address in
            former.first { $0.address == address } ?? self.makeConnection(to: address)
        }
        for connection in former where !addresses.contains(connection.address) {
            self.logger.notice("links to this router no longer", metadata: ["router": "\(connection.address)"])
            self.left(connection)
        }
        if !self.isStopped { self.start() }
    }

    /// Whether an instance that something was said to is there now. One that is away for a moment stays available, and is
    /// not there.
    package func hasWay(to instance: String) -> Bool {
        guard let channel = self.channels[instance] else { return true }
        return channel.machine.way != nil
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

    /// Sends a stanza by the domain of its `to`; false while no link is up.
    @discardableResult
    package func send(_ stanza: Stanza) -> Bool {
        self.connection(forDomain: stanza.to?.domain)?.write { stanza.write(to: &$0) } ?? false
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
        return self.sendPlain(content, to: instance, over: self.connection(to: instance))
    }

    func sendPlain(_ content: some WrapperContent, to instance: String, over connection: RouterConnection?) -> Bool {
        connection?.write { content.write(with: RouteHead(from: self.name, to: instance), into: &$0) } ?? false
    }

    // MARK: Which link

    /// The link over which the instance is reached, if it is; else any, whose router sends back what it cannot place.
    private func connection(to instance: String) -> RouterConnection? {
        // A router answers for itself at once; others may know it as well.
        if let own = self.connections.first(where: { $0.isUp && $0.routerName == instance }) { return own }
        let ways = self.sightings[instance]?.ways ?? []
        let there = self.connections.filter { $0.isUp && ways.contains($0.id) }
        return there.first { !$0.isSuspect } ?? there.first ?? self.plain
    }

    /// An external component is bound at one router. Whoever else has a domain is bound at all of them: it is reached over
    /// one link as long as that is there, so that order is kept.
    private func connection(forDomain domain: String?) -> RouterConnection? {
        guard let domain, let seen = self.sightings[domain], seen.current?.kind == .external else { return self.plain }
        return self.connections.first { $0.isUp && seen.ways.contains($0.id) } ?? self.plain
    }

    private var plain: RouterConnection? {
        if let plainConnection, plainConnection.isUp, !plainConnection.isSuspect { return plainConnection }
        let up = self.connections.filter(\.isUp)
        self.plainConnection = up.first { !$0.isSuspect } ?? up.first
        return self.plainConnection
    }
}
