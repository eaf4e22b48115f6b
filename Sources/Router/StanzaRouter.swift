// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XML
import XMPPCore
import XMPPStream

/// The router's state: who is bound, and where a stanza goes. Confined to the event loop.
///
/// It keeps nothing: what cannot be placed goes back at once, a stanza as an error and a wrapper as it came. What is
/// placed is written when the loop has read what there was to read: one write per link and turn of the loop.
final class StanzaRouter {
    typealias LinkID = RouteTable.LinkID

    /// The router's own instance name, at which it answers `jackdawctl`.
    let name: String
    /// The random string of this start of the process.
    let epoch: String
    let eventLoop: any EventLoop
    let logger: Logger
    let metrics: RouterMetrics
    let responder: AdminResponder
    var limits: JackdawConfiguration.RouterLimits
    /// Called with the number of bound links whenever it changed.
    var boundChanged: (Int) -> Void = { _ in }
    /// The other routers; nil: there are none.
    var peers: RouterPeers?
    private(set) var directory: ComponentDirectory
    private(set) var table = RouteTable()
    private(set) var links: [LinkID: ComponentConnectionHandler] = [:]
    /// The connections without a handshake, oldest first.
    private var strangers: [LinkID] = []
    private var nextLink: UInt64 = 0
    private var dirty: [ComponentConnectionHandler] = []
    private(set) var isClosing = false
    private var closed: EventLoopPromise<Void>?

    init(
        name: String,
        epoch: String,
        eventLoop: any EventLoop,
        directory: ComponentDirectory,
        limits: JackdawConfiguration.RouterLimits,
        responder: AdminResponder,
        metrics: RouterMetrics,
        logger: Logger
    ) {
        self.name = name
        self.epoch = epoch
        self.eventLoop = eventLoop
        self.directory = directory
        self.limits = limits
        self.responder = responder
        self.metrics = metrics
        self.logger = logger
        responder.register("component-list") { [weak self] _ in
            eventLoop.makeSucceededFuture(self?.componentList() ?? [])
        }
    }

    // MARK: Connections

    /// Numbers a new connection; nil: there is no room and nobody to make any.
    ///
    /// Strangers never keep a component out: at the bounds the oldest connection without a handshake goes.
    func connectionOpened(_ handler: ComponentConnectionHandler) -> LinkID? {
        self.metrics.connections.increment()
        guard !self.isClosing else { return nil }
        let sameAddress = self.strangers.filter { self.links[$0]?.client == handler.client }
        if sameAddress.count >= self.limits.connectionsPerAddress, let oldest = sameAddress.first {
            self.links[oldest]?.refuse()
        }
        if self.links.count >= self.limits.connections {
            guard let oldest = self.strangers.first else { return nil }
            self.links[oldest]?.refuse()
        }
        self.nextLink += 1
        let id = LinkID(number: self.nextLink)
        self.links[id] = handler
        self.strangers.append(id)
        return id
    }

    /// A connection is over: its names are free and all instances are told.
    func connectionClosed(_ id: LinkID) {
        self.strangers.removeAll { $0 == id }
        guard self.links.removeValue(forKey: id) != nil else { return }
        if let entry = self.table.remove(id) {
            self.count(entry.instance.kind, by: -1)
            self.logger.info("unbound", metadata: ["peer": "\(entry.instance.name)"])
            if entry.isAnnounced { self.announce(.unavailable(entry.instance), except: id) }
        }
        if self.isClosing, self.links.isEmpty { self.closed?.succeed() }
    }

    /// Binds a stream's name after its handshake; false: it is taken, here or at another router.
    func bind(_ id: LinkID, name: String, grant: ComponentDirectory.Grant, epoch: String) -> Bool {
        let instance = LinkInstance(name: name, epoch: epoch, kind: .external, names: [])
        guard grant.isInternal || self.peers?.connection(to: name) == nil else { return false }
        guard name != self.name, self.table.bind(id, instance, servesItsName: grant.servesItsName, group: grant.group)
        else {
            return false
        }
        self.strangers.removeAll { $0 == id }
        self.count(.external, by: 1)
        self.logger.info("bound", metadata: ["peer": "\(name)"])
        if grant.servesItsName { self.announce(.available(instance), except: id) }
        return true
    }

    /// Binds what an instance declares; false: a name is taken.
    func declare(_ id: LinkID, _ declaration: LinkDeclaration) -> Bool {
        let kind = self.table.entries[id]?.instance.kind
        guard self.table.declare(id, declaration), let entry = self.table.entries[id] else { return false }
        if kind == .external {
            self.count(.external, by: -1)
            self.count(.internal, by: 1)
        }
        self.logger.info(
            "declared",
            metadata: ["peer": "\(entry.instance.name)", "names": "\(declaration.names)"]
        )
        return true
    }

    /// Tells an instance who is there, and the others of it, after `<j:declared/>`.
    func introduce(_ id: LinkID) {
        guard let entry = self.table.entries[id], let handler = self.links[id] else { return }
        let own = LinkInstance(name: self.name, epoch: self.epoch, kind: .internal, names: [])
        handler.write { LinkMessage.available(own).write(to: &$0) }
        for (other, known) in self.table.entries.sorted(by: { $0.key < $1.key }) where other != id {
            guard known.isAnnounced, self.isPublic(known) else { continue }
            handler.write { LinkMessage.available(known.instance).write(to: &$0) }
        }
        handler.write { LinkMessage.instancesComplete.write(to: &$0) }
        self.announce(.available(entry.instance), except: id)
    }

    /// An instance that has not declared itself yet is none.
    private func isPublic(_ entry: RouteTable.Entry) -> Bool {
        entry.instance.kind == .internal || !entry.domains.isEmpty
    }

    private func announce(_ message: LinkMessage, except id: LinkID) {
        var bytes = ByteBuffer()
        message.write(to: &bytes)
        for (other, entry) in self.table.entries where other != id && entry.instance.kind == .internal {
            self.links[other]?.write { $0.writeImmutableBuffer(bytes) }
        }
    }

    private func count(_ kind: LinkInstance.Kind, by change: Int) {
        switch kind {
        case .internal: self.metrics.internalLinks.increment(by: change)
        case .external: self.metrics.externalLinks.increment(by: change)
        }
        self.boundChanged(self.table.entries.count)
    }

    // MARK: Forwarding

    /// Forwards a stanza of an external component, written anew by its envelope.
    func forward(_ stanza: Stanza, to address: JID, from sender: ComponentConnectionHandler) {
        let size = stanza.encodedSize
        let destination = self.destination(
            for: address.domain,
            from: stanza.from?.description ?? "",
            to: address.description
        )
        let placed = self.place(at: destination, address.domain, from: sender, size: size) {
            stanza.write(to: &$0)
        }
        if case .bounce(let bounce) = placed { self.bounce(stanza, bounce, to: sender) }
    }

    /// Forwards a stanza of an instance as it was read; false: it may not send for that domain.
    func forward(
        _ element: StreamElement,
        to: String,
        from: String,
        of sender: ComponentConnectionHandler
    ) -> Bool {
        guard let id = sender.id else { return true }
        let directory = self.directory
        guard self.isRouter(id) || self.table.mayLink(id, sendFor: from, isOurs: { directory.isConfigured($0) }) else {
            return false
        }
        let size = element.bytes.readableBytes
        let destination = self.destination(for: to, from: element["from"] ?? "", to: element["to"] ?? "")
        let placed = self.place(at: destination, to, from: sender, size: size) {
            $0.writeImmutableBuffer(element.bytes)
        }
        if case .bounce(let bounce) = placed {
            // Only the start tag is looked at; an address that the sender prepared badly has nobody to go back to.
            guard let stanza = try? Stanza(element) else { return true }
            self.bounce(stanza, bounce, to: sender)
        }
        return true
    }

    /// Forwards a wrapper, or answers it where it is for the router.
    func forward(_ route: RouteFrame, from sender: ComponentConnectionHandler) {
        if let id = self.table.receiver(of: route), let destination = self.links[id] {
            self.metrics.wrappers.increment()
            self.metrics.bytes.increment(by: route.bytes.readableBytes)
            destination.write(route.bytes)
            self.slow(sender, for: destination)
        } else if route.to == self.name {
            self.answer(route, to: sender)
        } else if !route.isUnreachable {
            self.metrics.returned.increment()
            sender.write { Self.writeReturned(route, to: &$0) }
        }
    }

    private enum Placement {
        case placed
        case bounce(RouterMetrics.Bounce)
    }

    private func place(
        at destination: ComponentConnectionHandler?,
        _ domain: String,
        from sender: ComponentConnectionHandler,
        size: Int,
        _ write: (inout ByteBuffer) -> Void
    ) -> Placement {
        guard let destination else {
            if let placed = self.hop(to: domain, from: sender, size: size, write) { return placed }
            return .bounce(self.directory.isConfigured(domain) ? .absent : .unknown)
        }
        if !destination.isDeclared, destination.queuedBytes + size > self.limits.queueBytes { return .bounce(.full) }
        self.metrics.stanzas.increment()
        self.metrics.bytes.increment(by: size)
        destination.write(write)
        self.slow(sender, for: destination)
        return .placed
    }

    /// To the router where a component is bound; what came from a router goes no further.
    private func hop(
        to domain: String,
        from sender: ComponentConnectionHandler,
        size: Int,
        _ write: (inout ByteBuffer) -> Void
    ) -> Placement? {
        guard let id = sender.id, !self.isRouter(id), let connection = self.peers?.connection(to: domain) else {
            return nil
        }
        // The link would be reset at its bound; it holds no less.
        if connection.queuedBytes + size > self.limits.queueBytes / 2 { return .bounce(.full) }
        guard connection.write(write) else { return nil }
        self.metrics.stanzas.increment()
        self.metrics.hops.increment()
        self.metrics.bytes.increment(by: size)
        return .placed
    }

    private func isRouter(_ id: LinkID) -> Bool {
        self.table.entries[id]?.group == ComponentKind.router.rawValue
    }

    private func destination(
        for domain: String,
        from: @autoclosure () -> String,
        to: @autoclosure () -> String
    ) -> ComponentConnectionHandler? {
        if let id = self.table.link(serving: domain, from: from(), to: to()) { return self.links[id] }
        guard !self.directory.isConfigured(domain), self.peers?.connection(to: domain) == nil,
            let id = self.table.defaultRoute(
                from: ComponentStreamStateMachine.domain(of: from()) ?? "",
                to: domain
            )
        else { return nil }
        return self.links[id]
    }

    /// A foreign sender is not read while a link that it wrote to is above its high-water mark.
    ///
    /// Nor is an edge of ours, an instance that serves no name but its own, while the instance that it wrote to is half
    /// way to its reset: its clients can wait, and would lose their sessions otherwise. An instance that serves a domain
    /// is always read, so that no two wait for each other.
    private func slow(_ sender: ComponentConnectionHandler, for destination: ComponentConnectionHandler) {
        let mark = sender.isDeclared ? self.limits.queueBytes / 2 : self.limits.queueHighWater
        guard destination.queuedBytes > mark, !sender.isDeclared || self.isEdge(sender) else { return }
        sender.wait(for: destination)
    }

    /// Another router has the stanzas of many, and is always read.
    private func isEdge(_ handler: ComponentConnectionHandler) -> Bool {
        guard let id = handler.id, !self.isRouter(id) else { return false }
        return self.table.entries[id]?.instance.names.isEmpty == true
    }

    // MARK: Going back

    /// RFC 6120 §10.4: an error with the addresses swapped, none for what must not be answered.
    private func bounce(_ stanza: Stanza, _ bounce: RouterMetrics.Bounce, to sender: ComponentConnectionHandler) {
        self.metrics.bounced(bounce)
        let error =
            switch bounce {
            case .unknown: StanzaError.remoteServerNotFound
            case .absent: StanzaError.serviceUnavailable
            case .full: StanzaError(.resourceConstraint, type: .wait, text: "the component is slow")
            }
        sender.debug("bounced", stanza: stanza, reason: bounce.rawValue)
        guard let reply = stanza.error(error) else { return }
        // What its own errors pile up slows the sender; it is not read any more by the time that this bound is met.
        guard sender.isDeclared || sender.queuedBytes <= self.limits.queueBytes else { return }
        sender.write { reply.write(to: &$0) }
        self.slow(sender, for: sender)
    }

    /// `<j:route … error='unreachable'>`: the wrapper with one attribute more, at the end of its start tag, since the
    /// length of its content comes first.
    private static func writeReturned(_ route: RouteFrame, to buffer: inout ByteBuffer) {
        let (start, rest) = route.splitBeforeTagEnd()
        buffer.writeImmutableBuffer(start)
        buffer.writeStaticString(" error='unreachable'")
        buffer.writeImmutableBuffer(rest)
    }

    private func answer(_ route: RouteFrame, to sender: ComponentConnectionHandler) {
        guard let inner = route.inner(), let request = try? AdminRequest(inner) else { return }
        self.responder.respond(to: request).assumeIsolated().whenSuccess { response in
            let head = RouteHead(from: self.name, to: route.from)
            sender.write { response.write(with: head, into: &$0) }
        }
    }

    private func componentList() -> [[AdminField]] {
        self.table.entries.sorted { $0.key < $1.key }.compactMap { id, entry in
            guard let handler = self.links[id] else { return nil }
            return [
                AdminField("name", entry.instance.name),
                AdminField("kind", entry.instance.kind.rawValue),
                AdminField("names", entry.instance.names.joined(separator: " ")),
                AdminField("default_route", String(self.table.defaultRoutes.contains(id))),
                AdminField("uptime", String(handler.uptime)),
                AdminField("address", handler.address),
                AdminField("stanzas_in", String(handler.received)),
                AdminField("queued_bytes", String(handler.queuedBytes)),
            ]
        }
    }

    // MARK: Writing

    /// Has the link written at the end of this turn of the loop.
    func markDirty(_ handler: ComponentConnectionHandler) {
        if self.dirty.isEmpty {
            self.eventLoop.assumeIsolated().execute { self.flush() }
        }
        self.dirty.append(handler)
    }

    private func flush() {
        let handlers = self.dirty
        self.dirty.removeAll(keepingCapacity: true)
        for handler in handlers { handler.flush() }
    }

    /// The bytes that wait for all links, for a metric.
    var queuedBytes: Int { self.links.values.reduce(0) { $0 + $1.queuedBytes } }

    // MARK: Changes from outside

    /// Takes a new configuration: links whose grant changed in any way end with `<reset/>`, removed ones with
    /// `<host-gone/>`.
    func apply(directory: ComponentDirectory, limits: JackdawConfiguration.RouterLimits) {
        let old = self.directory
        self.directory = directory
        self.limits = limits
        for (id, entry) in self.table.entries {
            let grant = directory.grant(for: entry.instance.name)
            guard grant != old.grant(for: entry.instance.name) else { continue }
            self.links[id]?.end(StreamError(grant == nil ? .hostGone : .reset, text: "the configuration changed"))
        }
    }

    /// Ends every stream with `<system-shutdown/>`; done when the last connection is closed.
    func close() -> EventLoopFuture<Void> {
        let promise = self.closed ?? self.eventLoop.makePromise(of: Void.self)
        guard !self.isClosing else { return promise.futureResult }
        self.isClosing = true
        self.closed = promise
        if self.links.isEmpty { promise.succeed() }
        for handler in self.links.values { handler.end(StreamError(.systemShutdown)) }
        guard let peers = self.peers else { return promise.futureResult }
        return promise.futureResult.and(peers.stop()).map { _ in }
    }
}

extension StanzaRouter: RouterPeers.Receiver {
    /// What another router sent is for somebody who is bound here, or lost: it was an error already.
    func deliver(_ element: StreamElement) {
        guard let to = ComponentStreamStateMachine.domain(of: element["to"]) else { return }
        let destination = self.destination(for: to, from: element["from"] ?? "", to: element["to"] ?? "")
        guard let destination, destination.isDeclared || destination.queuedBytes <= self.limits.queueBytes else {
            return
        }
        destination.write(element.bytes)
    }

    /// Two routers bound the name at the same time, or while they did not see each other: the one with the lower number
    /// keeps it.
    func componentAppeared(_ name: String, at other: String) {
        guard let own = InstanceName(routerName: self.name), let theirs = InstanceName(routerName: other),
            theirs.number < own.number
        else { return }
        for (id, entry) in self.table.entries where entry.instance.kind == .external && entry.domains.contains(name) {
            guard self.directory.grant(for: name)?.isInternal == false else { continue }
            self.links[id]?.end(StreamError(.conflict, text: "bound at another router"))
        }
    }
}
