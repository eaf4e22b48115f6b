// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore
import XMPPStream

/// The session's owner, and what goes to it; while there is none, what is kept for it.
extension C2SConnectionHandler {
    /// What a client without stream management sends while nobody owns its session is not read. One with it goes on: it
    /// acknowledges that way, and asks whether we are there.
    var isOwnerAwaited: Bool {
        owner == nil && machine.phase == .session && !machine.management.isCounting
    }

    /// Whether a session lives here, or did until its connection broke and its owner has still to take that.
    var hasSession: Bool { machine.phase == .session || farewell != nil }

    /// Whether it has a session, or has asked for something.
    var wantsOwner: Bool { hasSession || machine.pendingRequest != nil }

    func forward(_ stanza: Stanza, number: UInt64, fault: StanzaError.Condition?) {
        let route = route(from: hub.name) ?? ownerlessRoute
        let message = route.head.message(stanza, number: number, fault: fault)
        if machine.management.isCounting {
            let now = hub.eventLoop.now.uptimeNanoseconds
            machine.keep.received(number, message, isSaid: owner != nil, now: now)
        }
        if owner != nil { hub.forward(message) }
    }

    /// For messages that get their way later.
    private var ownerlessRoute: SessionRoute {
        SessionRoute(from: hub.name, to: "", session: machine.sessionName, attach: machine.attach)
    }

    /// The way to the session's owner, from the instance with this name; nil while there is none.
    func route(from name: String) -> SessionRoute? {
        let session = machine.sessionName
        if let route, route.attach == machine.attach, route.session == session { return route }
        guard let owner else { return nil }
        route = SessionRoute(from: name, to: owner, session: session, attach: machine.attach)
        return route
    }
}
