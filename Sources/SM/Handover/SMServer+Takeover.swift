// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XMPPCore
import XMPPStream

/// A new map: users who become ours arrive with their sessions (`docs/protocols.md`, section 5). Those who are ours no
/// longer are released, in `SMServer+Release`.
extension SMServer {
    var isJoined: Bool { map.contains(link.instanceName) }

    func owns(_ user: BareJID) -> Bool { map.owner(of: user) == link.instanceName }

    /// Whether the user's traffic is held until the takeover is over.
    func isHeld(_ user: BareJID) -> Bool { takeover?.concerns(user) ?? false }

    /// Whether a message that we have had may be sent once more: by another SM, or since one of us has changed.
    var mayComeAgain: Bool { map.instances.count > 1 || now() < remembersUntil }

    /// So long after a new map, in microseconds.
    private static let memory: Int64 = 300_000_000

    // MARK: - The map

    /// The map in force, from the database; in order of epochs.
    func mapChanged(_ map: OwnershipMap) {
        guard map.epoch > self.map.epoch else { return }
        let before = takeover?.before(nextAfter: self.map) ?? [self.map]
        self.map = map
        remembersUntil = now() + Self.memory
        // Those who go on to another SM at once are presented to that one.
        beginTakeover(from: before)
        sendArrivalsOn()
        if !waitingResumptions.isEmpty { installArrivals() }
        release(under: map)
        // What waits for the database and is another SM's to store goes there before what is newer.
        retryPostponed()
        forwarded.mapChanged(to: map)
        sendForwarded()
        sendHeldOn()
        receiveGated()
        endTakeoverIfHeard()
    }

    /// What was held for users who are another SM's by now goes to that one, before anything newer does.
    private func sendHeldOn() {
        let isLeaving = { (user: BareJID) in self.map.owner(of: user) != nil && !self.owns(user) }
        let due = heldWork.filter { isLeaving($0.user) }
        heldWork.removeAll { isLeaving($0.user) }
        for each in due { each.run(self) }
    }

    /// Sessions that were arriving and are another SM's by now: a C2S presents those of its connections by itself, but of
    /// one whose connection is broken nobody else knows.
    private func sendArrivalsOn() {
        for arrival in arrivals.values where !owns(arrival.passport.jid.bare) {
            arrivals[arrival.name] = nil
            guard arrival.instance.isOwner, let owner = map.owner(of: arrival.passport.jid.bare) else { continue }
            let sent = arrival.unacknowledged.map { sent in
                var older = sent
                older.age += now() - arrival.since
                return SessionMessage.Content.handover(.unacknowledged(older))
            }
            for content in [.handover(.passport(arrival.passport))] + sent + arrival.held {
                link.send(SessionMessage(session: arrival.name, attach: arrival.attach, content), to: owner)
            }
        }
    }

    /// Asks all that are there for what is ours.
    private func beginTakeover(from before: [OwnershipMap]) {
        takeover = Takeover(
            map,
            before: before,
            me: link.instanceName,
            edges: instances.keys.filter(\.isEdge),
            peers: instances.keys.filter(\.isOwner)
        )
        for instance in instances.keys where instance.hearsMap { tellMap(to: instance) }
    }

    /// What instances said under a map that we have now, or that misses its owner.
    private func receiveGated() {
        let due = gated
        gated = []
        for said in due {
            if said.epoch > map.epoch {
                gated.append(said)
            } else {
                received(said.message, from: said.instance)
            }
        }
    }

    /// True: the message waits for a map that the other one has and we do not.
    func isGated(_ message: SessionMessage, from instance: String) -> Bool {
        if case .handover(.map(let map)) = message.content {
            if map.epoch > self.map.epoch {
                // The database has the word; this only says that it has a new one.
                gates[instance] = map.epoch
                whenMapIsOld()
            }
            return true
        }
        guard let epoch = gates[instance] else { return false }
        guard epoch > map.epoch else {
            gates[instance] = nil
            return false
        }
        gate(message, from: instance, until: epoch)
        return true
    }

    /// A request for a user who is not ours: of a C2S that knows the next map already, or does not know this one yet,
    /// and then asks the right one by itself. Or what was said under a map that we do not have yet.
    func keepForNextMap(_ message: SessionMessage, from instance: String, until epoch: UInt64? = nil) {
        gate(message, from: instance, until: epoch ?? map.epoch + 1)
        whenMapIsOld()
    }

    private func gate(_ message: SessionMessage, from instance: String, until epoch: UInt64) {
        gated.append(GatedMessage(message: message, instance: instance, epoch: epoch, since: now()))
    }

    /// A C2S that has presented under our map knows it, and has asked the right one: what it asked us before must not be
    /// done when some later map makes the user ours.
    private func forgetRequests(of instance: String, under epoch: UInt64) {
        guard instance.isEdge, epoch == map.epoch, !gated.isEmpty else { return }
        gated.removeAll { $0.instance == instance }
    }

    func tellMap(to instance: String) {
        guard map.epoch > 0, areInstancesKnown else { return }
        link.send(SessionMessage(.handover(.map(map))), to: instance)
        tellReleased(to: instance)
    }

    /// All instances that were there when our link came up are known: the edges can be asked.
    func instancesComplete() {
        guard !areInstancesKnown else { return }
        areInstancesKnown = true
        guard map.epoch > 0 else { return }
        beginTakeover(from: takeover?.before ?? [map])
        endTakeoverIfHeard()
    }

    func received(_ handover: SessionMessage.Handover, _ message: SessionMessage, from instance: String) {
        switch handover {
        case .map: break
        case .presented(let epoch), .released(let epoch):
            forgetRequests(of: instance, under: epoch)
            for arrival in arrivals.values where arrival.instance == instance { arrival.isComplete = true }
            takeover?.said(instance, epoch: epoch)
            installArrivals()
        case .passport(let passport): arrived(passport, message, from: instance)
        case .unacknowledged(let sent):
            if let arrival = arrivals[message.session], arrival.instance == instance {
                arrival.unacknowledged.append(sent)
            }
        case .forwarded(let stanza):
            guard stanza.epoch <= map.epoch else {
                return keepForNextMap(message, from: instance, until: stanza.epoch)
            }
            received(stanza, from: instance)
        case .sent(let tokens): for token in tokens { forwarded.onTheWire(token, by: instance) }
        case .settled(let tokens): forwardedSettled(tokens, by: instance)
        case .failed(let token, let stanza): forwardedFailed(token, stanza, by: instance)
        case .wanted: tellMap(to: instance)
        case .state, .unknown, .taken: break
        }
    }

    // MARK: - Arrivals

    /// True: the session is arriving, and what is said of it waits.
    func holds(_ message: SessionMessage, from instance: String) -> Bool {
        if let arrival = arrivals[message.session] {
            if arrival.instance == instance { arrival.held.append(message.content) }
            return true
        }
        guard let session = sessions[message.session], isHeld(session.user.jid) else { return false }
        hold(session.user.jid, .message(message)) { $0.received(message, from: instance) }
        return true
    }

    private func arrived(_ passport: SessionMessage.Passport, _ message: SessionMessage, from instance: String) {
        guard owns(passport.jid.bare) else { return }
        let former = arrivals[message.session]
        if let known = former?.attach ?? sessions[message.session]?.attach {
            guard known <= message.attach else {
                return endResumed(message.session, attach: message.attach, at: instance)
            }
            // A C2S knows what has become of its connection; another SM only what it heard of it last.
            if instance.isOwner, known == message.attach, former?.instance.isOwner != true { return }
            // The session has gone on elsewhere; who has what is left of it need not keep that.
            if let former, former.attach < message.attach {
                endResumed(message.session, attach: former.attach, at: former.instance)
            }
        }
        let arrival = Arrival(message, passport, from: instance, at: now())
        arrivals[message.session] = arrival
        load(arrival)
    }

    /// The connection is none of the session's any more: it was resumed on another one.
    private func endResumed(_ name: String, attach: UInt64, at instance: String) {
        let end = SessionMessage.End(condition: .conflict, text: "the session was resumed elsewhere")
        link.send(SessionMessage(session: name, attach: attach, .end(end)), to: instance)
    }

    private func load(_ arrival: Arrival) {
        users.with(arrival.passport.jid.bare) { outcome in
            guard self.arrivals[arrival.name] === arrival else { return }
            switch outcome {
            case .user(let user):
                arrival.user = user
                self.installArrivals()
            case .nonexistent:
                self.arrivals[arrival.name] = nil
                self.refuse(arrival, .notAuthorized, "the account is gone")
                self.installArrivals()
            case .failed:
                // It waits for the database, as everything about it does.
                self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.load(arrival) }
            }
        }
    }

    private func refuse(_ arrival: Arrival, _ condition: StreamError.Condition, _ text: String) {
        let end = SessionMessage.End(condition: condition, text: text)
        link.send(SessionMessage(session: arrival.name, attach: arrival.attach, .end(end)), to: arrival.instance)
    }

    /// Installs the sessions that are all there, and goes on when nothing is waited for.
    private func installArrivals() {
        // What is left of a broken connection may be older than what another C2S has still to present.
        let isHeard = takeover?.isHeard ?? true
        let due = arrivals.values.filter { $0.isComplete && $0.user != nil && (isHeard || !$0.isConnectionGone) }
        // Of two with one resource that which has its connection stays.
        for arrival in due.filter({ !$0.isConnectionGone }) + due.filter(\.isConnectionGone) {
            guard let user = arrival.user else { continue }
            arrivals[arrival.name] = nil
            install(arrival, for: user)
        }
        let resumptions = waitingResumptions
        waitingResumptions = []
        for waiting in resumptions { received(waiting.message, from: waiting.instance) }
        endTakeoverIfHeard()
    }

    /// A client may be faster than the rest of what its C2S has to present: the session that it asks for may be arriving.
    func resumeWhenArrived(_ resume: SessionMessage.Resume, _ message: SessionMessage, at instance: String) {
        guard !arrivals.values.contains(where: { $0.passport.jid.bare == resume.user }) else {
            return waitingResumptions.append((message: message, instance: instance))
        }
        self.resume(resume, name: message.session, at: instance)
    }

    private func install(_ arrival: Arrival, for user: User) {
        let session: Session
        if let known = sessions[arrival.name], known.isRecalled { dismissRecalled(known) }
        if let known = sessions[arrival.name] {
            // A resumption does not wait for the passport of the connection that it follows.
            guard known.attach <= arrival.attach else {
                return endResumed(arrival.name, attach: arrival.attach, at: arrival.instance)
            }
            session = known
            reattach(session, arrival)
        } else if user.session(resource: arrival.passport.jid.resource ?? "") == nil {
            session = makeSession(arrival, for: user)
        } else {
            // A C2S that was out of reach for long presents a session that has ended meanwhile, when its client had logged
            // in anew; what it had not got is with the new one.
            return refuse(arrival, .conflict, "another connection took the resource")
        }
        let name = arrival.name
        let attach = arrival.attach
        for content in arrival.held {
            let message = SessionMessage(session: name, attach: attach, content)
            hold(for: user.jid, .message(message)) { $0.received(message, from: arrival.instance) }
        }
        logger.debug("session handed over", metadata: ["jid": "\(session.jid)", "peer": "\(arrival.instance)"])
    }

    /// The C2S was out of reach for a while, or the client's connection lives on at it after all: the session is ours.
    private func reattach(_ session: Session, _ arrival: Arrival) {
        guard session.state != .ended else { return }
        if !session.isAttached { metrics.brokenSessions.decrement() }
        session.expiry?.cancel()
        session.expiry = nil
        session.attach = arrival.attach
        session.recordBeforeResumption = nil
        route(session, to: arrival.instance)
        session.state = .attached
        if let management = arrival.passport.management {
            acknowledged(
                session.outbox.attached(acknowledged: management.acknowledged, sent: management.sent),
                in: session
            )
        } else {
            session.outbox.attached()
        }
        records?.changed(record(of: session))
        session.settlement.repeatReport(above: arrival.passport.management?.settled ?? 0)
        scheduleReport(session)
        pace(session)
        hold(for: session.user.jid) { server in
            server.sendPaced()
            if session.target.takesMessages { server.readSpool(into: session) }
        }
    }

    private func makeSession(_ arrival: Arrival, for user: User) -> Session {
        let passport = arrival.passport
        let limits = configuration.sm.limits
        let session = Session(
            name: arrival.name,
            jid: passport.jid,
            user: user,
            flow: flow(of: arrival.instance),
            connection: Session.Connection(
                address: passport.address,
                tls: passport.tls,
                mechanism: passport.mechanism
            ),
            opened: now(),
            outbox: SessionOutbox(
                maximumCount: limits.unacknowledgedStanzas,
                maximumBytes: limits.unacknowledgedBytes,
                window: configuration.sessionWindow
            )
        )
        session.attach = arrival.attach
        session.settlement = InboundSettlement(run: passport.management?.settled ?? passport.received)
        session.restore(SessionState(passport.state))
        if let management = passport.management {
            restore(management, arrival, in: session)
        }
        user.insert(session)
        sessions[arrival.name] = session
        records?.changed(record(of: session))
        sessionsChanged()
        if isHeld(user.jid) { heldReaders.append(session) } else { readFirst(into: session) }
        return session
    }

    /// The counters of stream management, and what the client has not acknowledged.
    private func restore(
        _ management: SessionMessage.Management,
        _ arrival: Arrival,
        in session: Session
    ) {
        let user = session.user
        session.countsFrom = management.base
        session.resumption = management.token.map {
            Session.Resumption(token: $0, seconds: management.max ?? resumptionSeconds)
        }
        session.outbox.restore(acknowledged: management.acknowledged)
        for id in management.lately {
            // Another session of the user, which came before, may hold it still.
            if let delivery = user.known.delivery(of: id) { acknowledgedBefore(delivery, of: user) }
            user.known.acknowledged(id, isRemembered: true)
        }
        for sent in arrival.unacknowledged {
            let received = arrival.since - sent.age
            let outgoing = Outgoing(stanza: sent.stanza.compacted(), received: received, stableID: sent.id ?? "")
            var delivery: DeliveryID?
            if let id = sent.id {
                delivery = user.known.delivery(of: id) ?? user.ledger.open(size: outgoing.encodedSize)
            }
            session.outbox.restore(outgoing, delivery: delivery, size: outgoing.encodedSize)
            guard let delivery, let id = sent.id else { continue }
            user.ledger.hold(delivery)
            guard !user.known.isDone(id) else {
                acknowledgedBefore(delivery, of: user)
                continue
            }
            user.known.hold(id, delivery)
            takeIntoCustody(outgoing, delivery, of: user)
        }
    }

    /// One of the user's clients had acknowledged the message when the former owner was still there.
    private func acknowledgedBefore(_ delivery: DeliveryID, of user: User) {
        if let row = user.ledger.acknowledgedBefore(delivery) { deleteFromSpool([row], of: user) }
    }

    // MARK: - The end of a takeover

    /// Does it when the user's traffic flows.
    func hold(for user: BareJID, _ subject: HeldWork.Subject = .other, _ work: @escaping (SMServer) -> Void) {
        if isHeld(user) { hold(user, subject, work) } else { work(self) }
    }

    /// A session that arrived gets what the spool has, before anything else for it.
    private func readFirst(into session: Session) {
        if session.state == .attached, session.target.takesMessages { readSpool(into: session) }
    }

    private func hold(_ user: BareJID, _ subject: HeldWork.Subject, _ work: @escaping (SMServer) -> Void) {
        heldWork.append(HeldWork(user: user, subject: subject, since: now(), run: work))
    }

    func endTakeoverIfHeard() {
        guard let takeover, takeover.isHeard, arrivals.isEmpty, areInstancesKnown, releasesUnderWay == 0,
            recallsUnderWay == 0
        else { return }
        guard takeover.isRecalled else { return recallSessions() }
        self.takeover = nil
        logger.info(
            "users are taken over",
            metadata: ["epoch": "\(map.epoch)", "sessions": "\(sessions.count)", "waiting": "\(heldWork.count)"]
        )
        // What is in the spool is older than what was held.
        let readers = heldReaders
        heldReaders.removeAll()
        for session in readers { readFirst(into: session) }
        let work = heldWork
        heldWork.removeAll()
        for each in work { each.run(self) }
    }

    /// The instance is gone: nothing more arrives from it.
    func arrivalsLost(from instance: String) {
        for arrival in arrivals.values where arrival.instance == instance {
            arrival.isComplete = true
            if instance.isEdge { arrival.held.append(.detached) }
        }
        takeover?.gone(instance)
        installArrivals()
    }
}

extension String {
    /// An instance of C2S.
    var isEdge: Bool { hasPrefix("\(ComponentKind.c2s.rawValue)-") }
    /// An instance of S2S.
    var isFederation: Bool { hasPrefix("\(ComponentKind.s2s.rawValue)-") }
    /// A process that acts by the map of owners.
    var hearsMap: Bool { isEdge || isOwner || isFederation }
    /// An instance of SM.
    var isOwner: Bool { hasPrefix("\(ComponentKind.sm.rawValue)-") }
}
