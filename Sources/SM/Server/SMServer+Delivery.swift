// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XML
import XMPPCore

/// From an account into its sessions: the delivery rules carried out, and what the sessions' clients acknowledge.
extension SMServer {
    /// A stanza that passed the modules.
    func deliver(_ passage: Passage, to user: User) {
        switch passage.stanza.kind {
        case .message: deliverMessage(passage, to: user)
        case .presence: deliverPresence(passage, to: user)
        case .iq: deliverIQ(passage, to: user)
        }
    }

    // MARK: - By kind

    func deliverMessage(_ passage: Passage, to user: User) {
        let type = MessageType(attribute: passage.stanza.type)
        if type.isKept, passage.isRepeatable, !user.known.isEmpty, isKnown(passage, to: user) { return }
        // Behind what is in the spool, unless it may not go there.
        let isSpooled = type.isKept && user.spool.reading != .idle && isStored(passage)
        if isSpooled, case .reading = user.spool.reading { return wait(passage, for: user) }
        let decision = DeliveryRules.message(
            type: type,
            to: passage.stanza.to?.resource,
            sessions: user.targets
        )
        switch decision {
        case .deliver(let resources):
            if isSpooled, case .paused = user.spool.reading { return store(passage, for: user) }
            let outgoing = Outgoing(
                stanza: passage.stanza,
                received: passage.received,
                stableID: passage.stableID,
                passage: type.isKept && passage.isCounted ? passage : nil,
                isRepeatable: passage.isRepeatable
            )
            // Only full outboxes, whose sessions are ended by now: the rules decide again without them.
            if !put(outgoing, type, into: resources, of: user) { deliverMessage(passage, to: user) }
        case .store: store(passage, for: user)
        case .serviceUnavailable: replyError(to: passage, .serviceUnavailable)
        case .ignore: break
        }
    }

    /// It has come before: a client has it, or will be settled for both when it has.
    private func isKnown(_ passage: Passage, to user: User) -> Bool {
        let id = passage.stableID
        if user.known.isDone(id) { return true }
        guard user.known.delivery(of: id) != nil else { return false }
        user.known.wait(passage, for: id)
        return true
    }

    private func deliverPresence(_ passage: Passage, to user: User) {
        let resource = passage.stanza.to?.resource
        if passage.stanza.type == "error", resource == nil { return }
        for name in DeliveryRules.presence(to: resource, sessions: user.targets) {
            if let session = user.session(resource: name) { send(passage.stanza, to: session) }
        }
    }

    private func deliverIQ(_ passage: Passage, to user: User) {
        let decision = DeliveryRules.iq(
            isRequest: passage.stanza.isIQRequest,
            to: passage.stanza.to?.resource,
            sharesPresence: sharesPresence(user, with: passage.stanza),
            sessions: user.targets
        )
        switch decision {
        case .deliver(let resource):
            if let session = user.session(resource: resource) { send(passage.stanza, to: session) }
        case .onBehalf: requestToAccount(passage, user)
        case .serviceUnavailable: replyError(to: passage, .serviceUnavailable)
        case .ignore: answered(passage.stanza)
        }
    }

    /// RFC 6121 §8.5.3.1: whether the sender may know of the resource by presence, subscribed or directed.
    func sharesPresence(_ user: User, with stanza: Stanza) -> Bool {
        guard let from = stanza.from else { return false }
        if from.bare == user.jid || (from.local == nil && hosted.contains(from.domain)) { return true }
        if user.roster.sendsPresence(to: from.bare) { return true }
        guard let resource = stanza.to?.resource, let session = user.session(resource: resource) else { return false }
        return session.directed.contains { $0.bare == from.bare }
    }

    // MARK: - Into sessions

    /// Puts a message into the outboxes of sessions; false when none took it. A session whose outbox is full ends.
    func put(
        _ outgoing: Outgoing,
        _ type: MessageType,
        into resources: [String],
        of user: User,
        row: Int64? = nil
    ) -> Bool {
        // RFC 6121 §8.5 lets it be ignored.
        if type == .headline, isMemoryShort(for: user, adding: outgoing.encodedSize) { return true }
        let isKept = type.isKept || row != nil || outgoing.passage != nil
        let delivery = isKept ? user.ledger.open(row: row, size: outgoing.encodedSize) : nil
        // All copies share the bytes.
        let outgoing = delivery == nil && resources.count < 2 ? outgoing : outgoing.compacted()
        var isTaken = false
        var full: [Session] = []
        for resource in resources {
            guard let session = user.session(resource: resource) else { continue }
            if append(outgoing, delivery, to: session) {
                if let delivery { user.ledger.hold(delivery) }
                isTaken = true
            } else {
                full.append(session)
            }
        }
        if let delivery {
            user.ledger.discard(delivery)
            if isTaken, outgoing.isRepeatable, mayComeAgain { user.known.hold(outgoing.stableID, delivery) }
            if isTaken, row == nil, outgoing.passage != nil { takeIntoCustody(outgoing, delivery, of: user) }
        }
        for session in full { endOverflowing(session) }
        return isTaken
    }

    /// Sends a stanza that no other session inherits: presence, IQs, errors.
    func send(_ stanza: Stanza, to session: Session) {
        guard session.state != .ended else { return }
        let outgoing = Outgoing(stanza: stanza, received: now(), stableID: "")
        if !append(outgoing, nil, to: session) { endOverflowing(session) }
    }

    /// False when the outbox is full.
    private func append(_ outgoing: Outgoing, _ delivery: DeliveryID?, to session: Session) -> Bool {
        let isHeld = isLinkBusy || session.flow.isBusy
        let isKept = isHeld || session.outbox.isCounting || delivery != nil
        let outgoing = isKept ? outgoing.compacted() : outgoing
        let size = outgoing.encodedSize
        guard size <= largestStanza else {
            refuse(outgoing.stanza, for: session)
            return true
        }
        // A message is counted by now, with the user's ledger.
        let growth = delivery == nil ? size : 0
        if isKept, isMemoryShort(for: session.user, adding: growth), !makeRoom(for: session, adding: growth) {
            return false
        }
        switch session.outbox.append(outgoing, delivery: delivery, size: size, isHeld: isHeld) {
        case .send(let number): tell(session, outgoing, number)
        case .sendUnnumbered: tell(session, outgoing, nil)
        case .queued: pace(session)
        case .full: return false
        }
        metrics.stanzasOut.increment()
        pingIfSilent(session)
        return true
    }

    /// A stanza that no router would take; it would end our stream, and with it every session. The edges and the
    /// limits of what is kept see to it that there is none.
    private func refuse(_ stanza: Stanza, for session: Session) {
        logger.error("a stanza is too large for the link", metadata: ["jid": "\(session.jid)"])
        let error = StanzaError(.resourceConstraint, type: .cancel, text: "the answer is too large")
        if stanza.kind == .iq, stanza.type == "result" {
            var answer = Stanza(kind: .iq, to: stanza.to, from: stanza.from, type: "error", id: stanza.id)
            answer.append(error.element())
            send(answer, to: session)
        } else if let answer = stanza.error(StanzaError(.policyViolation, text: "the stanza is too large")) {
            route(answer)
        }
    }

    /// How much a client without XEP-0198 may get before it is asked for a sign of life.
    private static let unacknowledgedBeforePing = 100

    /// A client that only listens acknowledges nothing: an answered ping does it (XEP-0199). It goes before what
    /// waits in the outbox, since that may wait for its answer.
    func pingIfSilent(_ session: Session) {
        guard !session.outbox.isCounting, !session.isPinged, session.isAttached,
            session.outbox.isHalfTaken || session.outbox.wire.count >= Self.unacknowledgedBeforePing
        else { return }
        session.isPinged = true
        request(
            Element("ping", Namespace.ping),
            from: session.jid.domain,
            to: session.jid,
            by: { self.tell(session, .stanza($0, number: nil)) },
            completion: { _ in }
        )
    }

    /// Sends a stanza on; its line in the log joins the id of the sender's stanza to the number it has from here on.
    func tell(_ session: Session, _ outgoing: Outgoing, _ number: UInt64?) {
        logger.debug(
            "stanza to client",
            metadata: [
                "stanza": "\(outgoing.stableID)", "kind": "\(outgoing.stanza.kind.rawValue)",
                "link": "\(session.name)-\(number.map { String($0) } ?? "")", "to": "\(session.jid)",
            ]
        )
        // Only what is numbered may come again, to be known by its id.
        let id = number == nil || outgoing.stableID.isEmpty ? nil : outgoing.stableID
        link.send(outgoing.stanza, number: number, id: id, by: session.route(from: link.instanceName))
        session.flow.add(outgoing.encodedSize)
        if session.flow.isEchoDue { askForEcho(session.flow) }
    }

    func endOverflowing(_ session: Session) {
        logger.info("session ended, too much is unacknowledged", metadata: ["jid": "\(session.jid)"])
        end(session, .ended(condition: .resourceConstraint, text: "too much is unacknowledged"))
    }

    // MARK: - Acknowledgements and inheritance

    /// The client's `<a/>`.
    func acknowledged(_ h: UInt32, in session: Session) {
        guard let entries = session.outbox.acknowledge(h) else {
            return end(session, .ended(condition: .undefinedCondition, text: "h is higher than what was sent"))
        }
        acknowledged(entries, in: session)
    }

    /// These left the outbox since the client has them: their rows go.
    func acknowledged(_ entries: [SessionOutbox<Outgoing>.Entry], in session: Session) {
        if !entries.isEmpty {
            let user = session.user
            let rows = entries.compactMap { entry in
                entry.delivery.flatMap { acknowledged(entry.payload, $0, of: user) }
            }
            if !rows.isEmpty { deleteFromSpool(rows, of: user) }
        }
        if session.outbox.hasNext {
            pace(session)
            sendPaced()
        }
        continueReading(into: session)
    }

    /// What a session that ended did not get acknowledged: messages that nobody else has go to the user's other
    /// sessions or to the spool; requests are answered with an error; the rest is moot.
    func inherit(_ entries: [SessionOutbox<Outgoing>.Entry], of session: Session) {
        let user = session.user
        // Behind one whose row is being written the others go the same way, to stay in order.
        var isBehind = false
        for entry in entries {
            guard let delivery = entry.delivery else {
                bounce(entry.payload.stanza)
                continue
            }
            switch user.ledger.released(delivery) {
            case .settled, .heldElsewhere: break
            case .underWay:
                user.spool.orphan(entry.payload.stableID)
                isBehind = true
            case .orphaned(let row):
                user.known.forget(entry.payload.stableID)
                guard isBehind else {
                    rehome(entry.payload, row: row, of: user)
                    continue
                }
                if row == nil { keep(entry.payload, for: user) }
            }
        }
    }

    /// The message needs no sender any more: a row holds it, or it is gone as it should.
    func settle(_ outgoing: Outgoing, of user: User) {
        outgoing.passage?.leaveCustody()
        user.known.stored(outgoing.stableID)
    }

    /// A client has the message: its sender may know. Gives the row to delete.
    private func acknowledged(_ outgoing: Outgoing, _ delivery: DeliveryID, of user: User) -> Int64? {
        outgoing.passage?.leaveCustody()
        user.known.acknowledged(outgoing.stableID, isRemembered: outgoing.isRepeatable && mayComeAgain)
        return user.ledger.acknowledged(delivery)
    }

    private func bounce(_ stanza: Stanza) {
        guard stanza.isIQRequest || stanza.type == "groupchat", stanza.from != nil,
            stanza.from?.bare != stanza.to?.bare,
            let error = stanza.error(.serviceUnavailable)
        else { return }
        route(error)
    }

    /// A message that lost its session: as one to the bare JID, since it was accepted for the user.
    func rehome(_ outgoing: Outgoing, row: Int64?, of user: User) {
        guard !user.isMoved else { return }
        guard !user.isRemoved, !user.blocks(outgoing.stanza.from) else {
            settle(outgoing, of: user)
            if !user.isRemoved { deleteFromSpool(row.map { [$0] } ?? [], of: user) }
            return
        }
        let type = MessageType(attribute: outgoing.stanza.type)
        let late = outgoing.with(Delay.stamp(outgoing.stanza, at: outgoing.received, from: user.jid.domain))
        let decision = DeliveryRules.message(type: type, to: nil, sessions: user.targets)
        if case .deliver(let resources) = decision {
            let takers = resources.compactMap { user.session(resource: $0) }
            let hasSpool = configuration.sm.isEnabled(.offline) && OfflinePolicy.isStored(outgoing.stanza)
            let mayTake = { (session: Session) in
                !hasSpool || (!session.outbox.isBusy && !self.isMakingRoom)
            }
            let free = takers.filter(mayTake).map(\.resource)
            if put(late, type, into: free, of: user, row: row) { return }
            // Much of it at once must not end the session that takes it over: the rest comes from the spool.
            if let busy = takers.first(where: \.isAttached) { readLater(into: busy) }
        }
        if row == nil { keep(outgoing, for: user) }
    }

    /// A session takes messages from here on: it gets what the user's broken sessions did not get acknowledged. The
    /// spool follows (`readSpool`).
    func takeOver(_ session: Session) {
        let user = session.user
        for broken in user.sessions where !broken.isAttached && hasOrphans(broken) { end(broken, .takenOver) }
    }

    private func hasOrphans(_ session: Session) -> Bool {
        session.outbox.entries.contains { entry in
            entry.delivery.map(session.user.ledger.isHeldOnce) ?? false
        }
    }
}

extension MessageType {
    /// Messages of these types are kept until a client acknowledged them.
    var isKept: Bool { self == .normal || self == .chat }
}

extension Outgoing {
    /// What it counts for in an outbox.
    var encodedSize: Int { stanza.encodedSize + 256 }

    func compacted() -> Outgoing {
        with(stanza.compacted())
    }
}
