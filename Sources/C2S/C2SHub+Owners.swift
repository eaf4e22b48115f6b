// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import Logging
import NIOCore
import XMPPCore
import XMPPStream

/// The SMs that own the users of this C2S's sessions, and how sessions pass from one to another (`docs/protocols.md`,
/// section 5).
///
/// While a session has no owner, its client stays: what it sends is held (`SessionKeep`), or not read where stream
/// management is off. The owner that the map names asks by sending the map; it gets a passport for each of its sessions,
/// with all that is unsettled, and then the word that this is all.
extension C2SHub {
    /// Sessions whose connection is gone and whose owner has not taken that; past it the oldest is forgotten.
    private static let ghostsLimit = 20_000
    /// An owner that has not taken a farewell is told again.
    private static let farewellPatience = TimeAmount.seconds(2)
    /// What was held for longer than this, and was told to no owner, is refused.
    private static let longestHold = TimeAmount.seconds(60)

    // MARK: - Instances

    func instanceAvailable(name: String, epoch: String, names: [String]) {
        if owners.available(name: name, epoch: epoch, names: names) { ownerLost(name) }
    }

    func instanceUnavailable(name: String) {
        presentations[name] = nil
        if owners.unavailable(name: name) { ownerLost(name) }
    }

    func hasOwner(of domain: String) -> Bool { owners.anyone(serving: domain) != nil }

    private func ownerLost(_ name: String) {
        presentations[name] = nil
        let orphans = handlers.filter { $0.owner == name }
        guard !orphans.isEmpty else { return }
        logger.warning("lost the owner of sessions", metadata: ["peer": "\(name)", "sessions": "\(orphans.count)"])
        for handler in orphans { handler.owner = nil }
    }

    private var handlers: [C2SConnectionHandler] { Array(ghosts) + connections.values.filter { !$0.isGhost } }

    /// Asks the owners of sessions that nobody has asked for, though the owner is there; called every second.
    func askForOwners() {
        var asked: Set<String> = []
        for handler in handlers where handler.owner == nil && handler.wantsOwner {
            let owner = handler.machine.user.flatMap(owners.owner) ?? owners.anyone(serving: handler.machine.domain)
            guard let owner, presentations[owner] == nil, asked.insert(owner).inserted else { continue }
            send(SessionMessage(.handover(.wanted)), to: owner)
        }
        for ghost in ghosts where eventLoop.now - ghost.farewellSaid >= Self.farewellPatience { sayFarewell(of: ghost) }
    }

    // MARK: - The map

    /// An SM says who owns whom, and wants what is its own.
    func received(_ map: OwnershipMap, from instance: String) {
        let isNew = map.epoch > owners.map.epoch
        guard owners.adopt(map) else { return }
        whenMapChanged()
        if isNew {
            for handler in handlers {
                guard let owner = handler.owner, let user = handler.machine.user else { continue }
                // One that was evicted and has come back has forgotten its sessions. A living one it hears of; of a ghost
                // it would only hear when its client asks for it.
                if map.owner(of: user) != owner || handler.isGhost { handler.owner = nil }
            }
        }
        owners.asked(instance)
        guard map.contains(instance) else { return }
        var due: Deque<C2SConnectionHandler> = []
        var requests: [C2SConnectionHandler] = []
        for handler in handlers where handler.owner == nil {
            let owner = handler.machine.user.map(map.owner) ?? owners.anyone(serving: handler.machine.domain)
            guard owner == instance, handler.wantsOwner else { continue }
            if handler.hasSession { due.append(handler) } else { requests.append(handler) }
        }
        due += requests
        presentations[instance] = Presentation(epoch: map.epoch, handlers: due)
        present(to: instance)
    }

    /// The owner of a connection's user, for what it asks; nil where that one has still to be presented its sessions here,
    /// of which the request may want one: it follows them.
    func ownerToAsk(for handler: C2SConnectionHandler) -> String? {
        guard let owner = handler.machine.user.flatMap(owners.owner), owners.hasAsked(owner) else { return nil }
        guard presentations[owner] == nil else {
            presentations[owner]?.handlers.append(handler)
            return nil
        }
        return owner
    }

    /// Presents one session after the other, as far as the link takes it.
    private func present(to instance: String) {
        guard var presentation = presentations.removeValue(forKey: instance) else { return }
        while let handler = presentation.handlers.first {
            guard !isLinkCongested else {
                presentations[instance] = presentation
                return schedulePresentations()
            }
            presentation.handlers.removeFirst()
            // It may have ended, or found an owner, meanwhile.
            if handler.owner == nil { present(handler, to: instance) }
        }
        send(SessionMessage(.handover(.presented(epoch: presentation.epoch))), to: instance)
    }

    private func schedulePresentations() {
        guard !isPresentationScheduled else { return }
        isPresentationScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(5)) {
            self.isPresentationScheduled = false
            for instance in Array(self.presentations.keys) { self.present(to: instance) }
        }
    }

    private func present(_ handler: C2SConnectionHandler, to instance: String) {
        handler.owner = instance
        guard handler.hasSession, let passport = handler.machine.passport else {
            // It has no session yet: what it asked for is asked again.
            return handler.run(handler.machine.ownerAvailable())
        }
        let say = { (content: SessionMessage.Content) in
            let name = handler.machine.sessionName
            self.send(SessionMessage(session: name, attach: handler.machine.attach, content), to: instance)
        }
        say(.handover(.passport(passport)))
        let unacknowledged = handler.machine.unacknowledged(now: eventLoop.now.uptimeNanoseconds)
        for sent in unacknowledged { say(.handover(.unacknowledged(sent))) }
        // What follows counts from there.
        if let enable = handler.machine.pendingEnable { say(enable) }
        sayUnsettled(of: handler)
        if handler.farewell != nil { sayFarewell(of: handler) } else { handler.process() }
    }

    private func sayUnsettled(of handler: C2SConnectionHandler) {
        guard let route = handler.route(from: name) else { return }
        let now = eventLoop.now.uptimeNanoseconds
        for stanza in handler.machine.keep.unsettled {
            let isLate = !stanza.isSaid && now - stanza.since > UInt64(Self.longestHold.nanoseconds)
            let message = isLate ? stanza.message.with(fault: .remoteServerTimeout) : stanza.message
            forward(message.with(route.head))
        }
        handler.machine.keep.allSaid()
    }

    // MARK: - Sessions without connection

    /// The connection is gone. Its session is kept, as all others are, until the owner has taken that: who becomes the owner
    /// before must have it presented, or the client could not resume it.
    func keepGhost(_ handler: C2SConnectionHandler) {
        guard !handler.isGhost, sessions[handler.machine.sessionName] == nil else { return }
        handler.isGhost = true
        ghosts.append(handler)
        sessions[handler.machine.sessionName] = handler
        if ghosts.count > Self.ghostsLimit, let oldest = ghosts.first { forgetGhost(oldest) }
    }

    private func sayFarewell(of handler: C2SConnectionHandler) {
        guard let farewell = handler.farewell, let owner = handler.owner else { return }
        handler.farewellSaid = eventLoop.now
        let name = handler.machine.sessionName
        send(SessionMessage(session: name, attach: handler.machine.attach, farewell), to: owner)
    }

    /// The owner knows that the connection is gone.
    func farewellTaken(of handler: C2SConnectionHandler) {
        handler.farewell = nil
        forgetGhost(handler)
    }

    func forgetGhost(_ handler: C2SConnectionHandler) {
        guard handler.isGhost else { return }
        handler.isGhost = false
        if ghosts.first === handler {
            ghosts.removeFirst()
        } else {
            ghosts.removeAll { $0 === handler }
        }
        let name = handler.machine.sessionName
        if sessions[name] === handler { sessions[name] = nil }
    }
}

/// What is being presented to an SM.
struct Presentation {
    /// Of the map under which it asked.
    let epoch: UInt64
    var handlers: Deque<C2SConnectionHandler>
}

extension C2SConnectionStateMachine {
    /// What a new owner must know of the session; nil while there is none.
    var passport: SessionMessage.Passport? {
        guard let jid else { return nil }
        return SessionMessage.Passport(
            jid: jid,
            address: address,
            tls: tlsVersion,
            mechanism: mechanismName,
            management: management.isOn ? counters : nil,
            // What came after an <enable/> that nobody has answered comes again.
            received: pendingEnable == nil ? management.received : management.base,
            state: keep.state
        )
    }

    private var counters: SessionMessage.Management {
        SessionMessage.Management(
            token: keep.token,
            max: keep.tokenSeconds,
            base: management.base,
            settled: management.settled,
            acknowledged: management.acknowledged,
            sent: management.sent,
            lately: Array(keep.lately)
        )
    }

    /// What the client was sent and has not acknowledged, in order. `now` is in nanoseconds of the loop's clock.
    func unacknowledged(now: UInt64) -> [SessionMessage.Unacknowledged] {
        let first = management.sent - UInt64(keep.unacknowledged.count) + 1
        return keep.unacknowledged.enumerated().compactMap { index, entry in
            let age = Int64(clamping: (now - min(now, entry.since)) / 1_000)
            return Stanza(wrapped: entry.stanza).map {
                SessionMessage.Unacknowledged(number: first + UInt64(index), id: entry.id, age: age, stanza: $0)
            }
        }
    }
}
