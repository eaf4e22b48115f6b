// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import XML
import XMPPCore

/// What the links say, as the one link that the delegate sees.
extension InstanceLink: RouterConnectionOwner {
    /// How long all that are bound may take to be told by the other routers when one has told all of its own.
    private static let completeAfter = TimeAmount.seconds(1)

    /// For `RouterConnection` alone.
    package func connectionUp(_ connection: RouterConnection) {
        if self.linksUp == 1 { self.delegate?.linkUp(self) }
    }

    /// For `RouterConnection` alone.
    package func connection(
        _ connection: RouterConnection,
        received action: ComponentLinkStateMachine.Action
    ) {
        switch action {
        case .instanceAvailable(let instance):
            self.see(instance.name) { $0.available(instance, over: connection.id) }
        case .instanceUnavailable(let instance):
            self.see(instance.name) { $0.unavailable(over: connection.id) }
        case .instancesComplete:
            self.tellWhenComplete()
            self.eventLoop.assumeIsolated().scheduleTask(in: Self.completeAfter) {
                if self.connections.contains(where: \.isComplete) { self.tellComplete() }
            }
        case .deliverRoute(let route):
            self.deliver(route, over: connection)
        case .deliverStanza(let element):
            do {
                self.delegate?.link(self, received: try Stanza(element))
            } catch {
                self.logger.warning("dropped a stanza", metadata: ["reason": "\(error)"])
            }
        case .ignore(let fault):
            self.logger.warning("dropped an element of the link", metadata: ["reason": "\(fault)"])
        case .nothing, .send, .reset, .linkUp:
            break
        }
    }

    /// For `RouterConnection` alone.
    package func connectionReadBegan(_ connection: RouterConnection) {
        self.lookAtClock()
        self.delegate?.linkReadBegan(self)
    }

    /// For `RouterConnection` alone.
    package func connectionReadComplete(_ connection: RouterConnection) {
        self.delegate?.linkReadComplete(self)
        self.channelBurstEnded()
    }

    /// For `RouterConnection` alone.
    package func connection(_ connection: RouterConnection, ended failure: LinkFailure, wasUp: Bool) {
        self.waysLost(over: connection)
        // One of those that are told as one link; one that was left is none.
        guard self.connections.contains(where: { $0 === connection }) else { return }
        if self.isUp { self.tellWhenComplete() } else { self.ended(failure, wasUp: wasUp) }
    }

    private func ended(_ failure: LinkFailure, wasUp: Bool) {
        self.isCompleteTold = false
        if wasUp {
            self.delegate?.link(self, down: failure)
        } else if self.connections.allSatisfy(\.hasFailed) {
            self.delegate?.link(self, notUp: failure)
        }
    }

    /// Ends a link to a router that is none of ours any more.
    func left(_ connection: RouterConnection) {
        let wasUp = connection.isUp
        _ = connection.stop()
        self.waysLost(over: connection)
        if wasUp, !self.isUp { self.ended(.stopped, wasUp: true) }
    }

    /// All are told when each router has told its own, or does not answer.
    private func tellWhenComplete() {
        guard self.connections.contains(where: \.isComplete) else { return }
        if self.connections.allSatisfy({ $0.isComplete || $0.hasFailed }) { self.tellComplete() }
    }

    private func tellComplete() {
        guard !self.isCompleteTold else { return }
        self.isCompleteTold = true
        self.delegate?.linkInstancesComplete(self)
    }

    // MARK: Wrappers

    private func deliver(_ route: RouteFrame, over connection: RouterConnection) {
        if route.isOfChannel, !self.takes(route, over: connection) { return }
        if !route.isUnreachable, let delegate, delegate.link(self, takes: route) { return }
        do throws(LinkFault) {
            if let message = try SessionMessage(route, jids: self.jids) {
                self.delegate?.link(self, received: message, from: route.from)
            } else {
                try self.deliverAdmin(route, over: connection)
            }
        } catch {
            self.connection(connection, received: .ignore(error))
        }
    }

    private func deliverAdmin(_ route: RouteFrame, over connection: RouterConnection) throws(LinkFault) {
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
        let isPlain = self.channels[route.from] == nil
        self.responder?.respond(to: request).assumeIsolated().whenSuccess { response in
            // An answer goes the way that the question came.
            let way = isPlain && connection.isUp ? connection : nil
            guard !self.answer(response, to: route.from, over: way), self.isUp else { return }
            let failure = AdminResponse.Failure("resource-constraint", "the answer is too long for the link")
            _ = self.answer(AdminResponse(id: response.id, error: failure), to: route.from, over: way)
        }
    }

    private func answer(_ response: AdminResponse, to instance: String, over way: RouterConnection?) -> Bool {
        guard let way else { return self.send(response, to: instance) }
        return self.sendPlain(response, to: instance, over: way)
    }
}
