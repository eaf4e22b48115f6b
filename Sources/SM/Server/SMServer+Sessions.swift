// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import SASL
import Storage
import XMPPCore
import XMPPStream

/// The life of a session: opened, enabled, broken, resumed, ended.
extension SMServer {
    /// Why a session ends.
    enum EndReason: Equatable {
        /// The client ended its stream.
        case closed
        /// The connection broke and cannot be resumed, or was not in time.
        case lost
        /// SM ends it; the client gets this stream error (nil: a plain close).
        case ended(condition: StreamError.Condition?, text: String?)
        /// Another session of the user took over what it had; its `h` is remembered.
        case takenOver
    }

    // MARK: - Opening

    func open(_ open: SessionMessage.Open, name: String, at instance: String) {
        guard !name.isEmpty, sessions[name] == nil, opening[name] == nil else { return }
        opening[name] = instance
        guard open.user.local != nil, hosted.contains(open.user.domain) else {
            opening[name] = nil
            return refuse(name, .notAllowed, at: instance)
        }
        users.with(open.user) { outcome in
            guard self.opening.removeValue(forKey: name) == instance else { return }
            switch outcome {
            case .user(let user): self.bind(open, name: name, user: user, at: instance)
            case .nonexistent: self.refuse(name, .notAuthorized, at: instance)
            // Its C2S asks the new owner by itself.
            case .failed(is UserTable.Moved), .failed(DatabaseError.fenced): break
            case .failed: self.refuse(name, .databaseAway, at: instance)
            }
        }
    }

    private func refuse(_ name: String, _ error: StanzaError, at instance: String) {
        link.send(SessionMessage(session: name, attach: 1, .refused(error)), to: instance)
    }

    /// RFC 6120 §7.6 and §7.7: the resource that the client asked for, or one of ours.
    private func bind(_ open: SessionMessage.Open, name: String, user: User, at instance: String) {
        let most = configuration.sm.limits.sessionsPerUser
        // Rather than refuse a client that is there, give up one that is not.
        if user.sessions.count >= most, let broken = user.sessions.first(where: { !$0.isAttached }) {
            end(broken, .takenOver)
        }
        guard user.sessions.count < most else {
            return refuse(name, StanzaError(.resourceConstraint, type: .wait), at: instance)
        }
        let wanted = open.resource.flatMap { $0.isEmpty ? nil : $0 } ?? Digest.randomName()
        guard var jid = try? user.jid.with(resource: wanted) else { return refuse(name, .badRequest, at: instance) }
        if let older = user.session(resource: jid.resource ?? "") {
            switch older.isAttached ? configuration.sm.resourceConflict : .endOlder {
            case .endOlder:
                end(older, .ended(condition: .conflict, text: "another connection took the resource"))
            case .refuseNewer: return refuse(name, StanzaError(.conflict, type: .modify), at: instance)
            case .rename:
                guard let other = try? user.jid.with(resource: Digest.randomName()) else {
                    return refuse(name, .badRequest, at: instance)
                }
                jid = other
            }
        }
        let limits = configuration.sm.limits
        let session = Session(
            name: name,
            jid: jid,
            user: user,
            flow: flow(of: instance),
            connection: Session.Connection(address: open.address, tls: open.tls, mechanism: open.mechanism),
            opened: now(),
            outbox: SessionOutbox(
                maximumCount: limits.unacknowledgedStanzas,
                maximumBytes: limits.unacknowledgedBytes,
                window: configuration.sessionWindow
            )
        )
        user.insert(session)
        sessions[name] = session
        records?.opened(record(of: session))
        metrics.sessionsOpened.increment()
        sessionsChanged()
        logger.debug("session opened", metadata: ["jid": "\(jid)", "peer": "\(instance)"])
        tell(session, .opened(jid))
    }

    /// XEP-0198 §3: from here on both counters run. What the client got before it is acknowledged.
    func enable(_ session: Session, resume: Bool, maximum: UInt32?, number: UInt64) {
        guard !session.outbox.isCounting else { return }
        acknowledged(session.outbox.startCounting(), in: session)
        session.countsFrom = number
        if resume {
            let seconds = min(maximum ?? resumptionSeconds, resumptionSeconds)
            session.resumption = Session.Resumption(token: Digest.randomName(), seconds: seconds)
        }
        records?.changed(record(of: session))
        tell(session, .enabled(token: session.resumption?.token, max: session.resumption?.seconds))
    }

    // MARK: - Breaking and resuming

    /// The connection broke, or the C2S that had it is gone.
    func detach(_ session: Session) {
        guard session.isAttached else { return }
        session.recordBeforeResumption = nil
        guard let resumption = session.resumption else { return end(session, .lost) }
        let since = now()
        session.state = .broken(since: since)
        brokenSessions.append((session: session, since: since))
        session.outbox.detached()
        metrics.brokenSessions.increment()
        logger.debug("session broken", metadata: ["jid": "\(session.jid)"])
        session.expiry = eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(resumption.seconds))) {
            self.end(session, .lost)
        }
        stopReading(into: session)
        storeUnacknowledged(of: session)
        records?.changed(record(of: session))
    }

    func detachSessions(at instance: String) {
        for session in Array(sessions.values) where session.instance == instance { detach(session) }
        opening = opening.filter { $0.value != instance }
    }

    /// XEP-0198 §5. The token is the secret; it counts for its own user only.
    func resume(_ resume: SessionMessage.Resume, name: String, at instance: String) {
        let hash = SessionRecord.hash(ofToken: resume.token)
        let match = users[resume.user]?.sessions.first { session in
            session.resumption.map { Digest.constantTimeEqual($0.hash, hash) } ?? false
        }
        guard let session = match else {
            let h = graves.acknowledgement(hash: hash, user: resume.user)
            return fail(name, h: h, at: instance)
        }
        // Its C2S asked again, as each new map makes it do: it has its answer, or hears of it yet.
        if session.isAttached, session.instance == instance, session.connectionName == name { return }
        guard session.recalledSent?.isOutdated(by: resume.h) != true else {
            // The record is older than the session's last connection, of which nobody is left to tell: what the client has
            // got since, and what was settled, is not known.
            logger.info("a session's record is older than its client", metadata: ["jid": "\(session.jid)"])
            session.resumption = nil
            end(session, .lost)
            return fail(name, h: nil, at: instance)
        }
        let before = session.isAttached ? session.recordBeforeResumption : record(of: session)
        guard let acknowledged = session.outbox.acknowledge(resume.h) else {
            // The client claims what was never sent: it is not the one that we know.
            logger.warning("a resumption with a wrong h", metadata: ["jid": "\(session.jid)"])
            end(session, .lost)
            return fail(name, h: session.acknowledgement, at: instance)
        }
        self.acknowledged(acknowledged, in: session)
        acknowledgeRecalled(resume.h, in: session)
        session.recordBeforeResumption = before
        attach(session, to: instance, as: name, lately: ids(of: acknowledged, in: session))
    }

    /// What the user's clients have acknowledged lately, and these entries, which a resumption has acknowledged just now:
    /// the next owner hears of them from the C2S, and must not send them again.
    private func ids(of entries: [SessionOutbox<Outgoing>.Entry], in session: Session) -> ArraySlice<String> {
        let latest = session.user.known.latest(Self.idsTold)
        let known = Set(latest)
        let ids = entries.lazy.filter { $0.delivery != nil && $0.payload.isRepeatable }.map(\.payload.stableID)
        return (latest + ids.filter { !$0.isEmpty && !known.contains($0) }).suffix(Self.idsTold)
    }

    /// The next keeper of a session is told so many ids of messages that the user's clients have acknowledged.
    static let idsTold = 256

    private func fail(_ name: String, h: UInt32?, at instance: String) {
        link.send(SessionMessage(session: name, attach: 1, .resumeFailed(h: h)), to: instance)
    }

    private func attach(
        _ session: Session,
        to instance: String,
        as connection: String,
        lately: some Sequence<String>
    ) {
        if session.isAttached {
            // §5: the stream that it leaves SHOULD end with <conflict/>.
            tell(session, .end(SessionMessage.End(condition: .conflict, text: "the session was resumed elsewhere")))
        } else {
            metrics.brokenSessions.decrement()
        }
        session.expiry?.cancel()
        session.expiry = nil
        session.attach += 1
        session.connectionName = connection
        route(session, to: instance)
        session.state = .attached
        // The client sends again what `h` does not cover, under the numbers that it had. `h` counts from <enable/> on, so
        // stanzas from before it are never sent again, also while they are unsettled.
        let resumed = SessionMessage.Resumed(
            session: session.name,
            attach: session.attach,
            jid: session.jid,
            h: session.acknowledgement,
            next: max(session.settlement.run, session.countsFrom) + 1,
            sent: session.outbox.acknowledged,
            lately: Array(lately)
        )
        link.send(SessionMessage(session: connection, attach: 1, .resumed(resumed)), to: instance)
        session.isRecalled = false
        records?.changed(record(of: session))
        // This C2S keeps it from here on.
        tell(session, session.takeState())
        metrics.sessionsResumed.increment()
        logger.debug("session resumed", metadata: ["jid": "\(session.jid)", "peer": "\(instance)"])
        session.outbox.attached()
        pace(session)
        sendPaced()
        if session.target.takesMessages { readSpool(into: session) }
    }

    // MARK: - The end

    /// Ends a session: C2S is told where it is SM's decision, contacts learn that it is unavailable, and what the
    /// client did not acknowledge goes to other sessions or to the spool.
    func end(_ session: Session, _ reason: EndReason) {
        guard session.state != .ended else { return }
        if case .ended(let condition, let text) = reason, session.isAttached {
            tell(session, .end(SessionMessage.End(condition: condition, text: text)))
        }
        if let resumption = session.resumption, reason != .closed {
            graves.bury(
                hash: resumption.hash,
                user: session.user.jid,
                h: session.acknowledgement,
                until: now() + Int64(resumption.seconds) * 1_000_000
            )
        }
        if !session.isAttached { metrics.brokenSessions.decrement() }
        session.state = .ended
        session.expiry?.cancel()
        session.expiry = nil
        sessions[session.name] = nil
        session.user.remove(session)
        records?.ended(session.name, of: session.user.jid)
        // Before what waits for the end of the reading, which is newer.
        inherit(session.outbox.removeAll(), of: session)
        stopReading(into: session)
        becomeUnavailable(session)
        for module in chain.modules { module.sessionEnded(session) }
        sessionsChanged()
        logger.debug("session ended", metadata: ["jid": "\(session.jid)", "reason": "\(reason)"])
        users.noteIfIdle(session.user)
    }

    func sessionsChanged() {
        metrics.sessions.set(sessions.count)
        whenSessionsChanged(sessions.count)
    }

    /// The session is available no longer; contacts and modules are told.
    func becomeUnavailable(_ session: Session) {
        guard session.isAvailable else { return }
        for module in chain.modules { module.sessionUnavailable(session) }
        session.presence = nil
        session.isIntroduced = false
        session.priority = 0
        stopReading(into: session)
    }

    /// Says something to the session's C2S.
    func tell(_ session: Session, _ content: SessionMessage.Content) {
        link.send(SessionMessage(session: session.name, attach: session.attach, content), to: session.instance)
    }
}

extension Session {
    /// The `h` for the client: its stanzas since `<enable/>` that are settled in an unbroken run.
    var acknowledgement: UInt32 { settlement.acknowledgement(since: countsFrom) }
}

extension StanzaError {
    /// The database is away: nothing is taken that could not be kept.
    static let databaseAway = StanzaError(
        .internalServerError,
        type: .wait,
        text: "the server cannot reach its database, try again later"
    )
    /// The server has more of this work than it takes.
    static let overloaded = StanzaError(.resourceConstraint, type: .wait)
}
