// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Logging
import NIOCore
import XML
import XMPPCore

/// What the routers know of each other: the external components that are bound elsewhere, and the way there.
///
/// Each router links to each other one, as an instance under its own name. It hears there, as any instance does, who is
/// bound, and sends there what is for a component of that router: one hop, never two, since what comes from a router is
/// placed at a link of one's own or goes back. Our own processes link to all routers and need none of it.
///
/// Confined to the event loop.
final class RouterPeers {
    /// What comes from the others, for those who are bound here.
    protocol Receiver: AnyObject {
        /// A stanza came back, or is for somebody here.
        func deliver(_ element: StreamElement)
        /// A component was bound at the router `other`.
        func componentAppeared(_ name: String, at other: String)
    }

    private let configuration: InstanceLink.Configuration
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let responder: AdminResponder
    private weak var receiver: (any Receiver)?
    private var connections: [RouterConnection] = []
    private var nextConnection = 0
    /// The components that are bound at the others, by the number of the link.
    private var names: [Int: Set<String>] = [:]

    init(
        _ configuration: InstanceLink.Configuration,
        eventLoop: any EventLoop,
        logger: Logger,
        responder: AdminResponder,
        receiver: any Receiver
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
        self.responder = responder
        self.receiver = receiver
    }

    /// The other routers that are linked to.
    var linksUp: Int { self.connections.count(where: \.isUp) }

    /// Links to these from now on, and to no others.
    func set(_ addresses: [RouterAddress]) {
        let former = self.connections
        self.connections = addresses.map { address in
            former.first { $0.address == address } ?? self.makeConnection(to: address)
        }
        for connection in former where !addresses.contains(connection.address) {
            self.names[connection.id] = nil
            _ = connection.stop()
        }
        for connection in self.connections { connection.start() }
    }

    /// Ends the links; done when they are closed.
    func stop() -> EventLoopFuture<Void> {
        let all = self.connections.map { $0.stop() }
        self.names = [:]
        return EventLoopFuture.andAllComplete(all, on: self.eventLoop)
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

    /// The link to the router where a component is bound; nil: at none that is linked to.
    func connection(to name: String) -> RouterConnection? {
        guard !self.names.isEmpty else { return nil }
        return self.connections.first { $0.isUp && self.names[$0.id]?.contains(name) == true }
    }
}

extension RouterPeers: RouterConnectionOwner {
    func connectionUp(_ connection: RouterConnection) {}

    func connection(_ connection: RouterConnection, received action: ComponentLinkStateMachine.Action) {
        switch action {
        case .instanceAvailable(let instance):
            guard instance.kind == .external else {
                // A component of ours is announced before it declares itself.
                self.remove(instance.name, connection)
                return
            }
            self.names[connection.id, default: []].insert(instance.name)
            self.receiver?.componentAppeared(instance.name, at: connection.routerName ?? "")
        case .instanceUnavailable(let instance):
            self.remove(instance.name, connection)
        case .deliverStanza(let element):
            self.receiver?.deliver(element)
        case .deliverRoute(let route):
            self.answer(route, over: connection)
        case .nothing, .send, .linkUp, .instancesComplete, .ignore, .reset:
            break
        }
    }

    func connectionReadBegan(_ connection: RouterConnection) {}
    func connectionReadComplete(_ connection: RouterConnection) {}

    func connection(_ connection: RouterConnection, ended failure: LinkFailure, wasUp: Bool) {
        self.names[connection.id] = nil
    }

    private func remove(_ name: String, _ connection: RouterConnection) {
        guard self.names[connection.id]?.remove(name) != nil else { return }
        if self.names[connection.id]?.isEmpty == true { self.names[connection.id] = nil }
    }

    /// `jackdawctl` asks each router at its own link; but here it may be as well.
    private func answer(_ route: RouteFrame, over connection: RouterConnection) {
        guard !route.isUnreachable, let inner = route.inner(), let request = try? AdminRequest(inner) else { return }
        self.responder.respond(to: request).assumeIsolated().whenSuccess { response in
            let head = RouteHead(from: self.configuration.identity.name, to: route.from)
            _ = connection.write { response.write(with: head, into: &$0) }
        }
    }
}
