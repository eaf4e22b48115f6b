// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XMPPCore
import XMPPStream

/// What the server tells of its sessions for the next owner of their users, and asks when it is that (`SessionRecordWriter`
/// and `SessionRecordStorage`; tests need none).
protocol SessionRecording: AnyObject {
    func opened(_ record: SessionRecord)
    func changed(_ record: SessionRecord)
    func ended(_ name: String, of user: BareJID)
    /// Calls when all that was said of the session is in the database; never where it is another SM's before.
    func whenWritten(_ name: String, of user: BareJID, _ body: @escaping () -> Void)
    /// A page of all records, in the order of their names.
    func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]>
}

/// Sessions that nobody presents after a takeover: those that wait for their resumption go on waiting, of the others the
/// contacts are told.
extension SMServer {
    /// How long a session may be without the C2S that had it, when it is not known what became of that one.
    private static let grace: Int64 = 30_000_000
    private static let page = 1_000
    /// A record has so many ids of messages that the user's clients have acknowledged.
    private static let idsRecorded = 64

    func record(of session: Session) -> SessionRecord {
        if let before = session.recordBeforeResumption { return before }
        var detachedAt: Int64?
        // While it is attached its C2S has the newest.
        var state: SessionState?
        if case .broken(let since) = session.state {
            detachedAt = since
            state = SessionState(of: session)
            if session.outbox.isCounting {
                state?.sent = session.recalledSent ?? SentBefore(session.outbox)
                state?.lately = session.user.known.latest(Self.idsRecorded)
            }
        }
        return SessionRecord(
            name: session.name,
            user: session.user.jid,
            resource: session.resource,
            tokenHash: session.resumption?.hash,
            resumptionSeconds: session.resumption?.seconds ?? 0,
            instance: session.instance,
            attach: session.attach,
            detachedAt: detachedAt,
            settledRun: session.settlement.run,
            countsFrom: session.countsFrom,
            state: state?.encoded
        )
    }

    /// The C2S of a session has its newest connection.
    func resumptionIsHeard(of session: Session) {
        guard session.recordBeforeResumption != nil else { return }
        session.recordBeforeResumption = nil
        records?.changed(record(of: session))
    }

    /// Every session that a successor would have to know of.
    var sessionRecords: [SessionRecord] { sessions.values.map(record) }

    /// Asks for the sessions of users that are ours since this takeover, and lets it end.
    func recallSessions() {
        guard let takeover, !takeover.isRecalling else { return }
        self.takeover?.isRecalling = true
        guard let records else { return recalled(takeover) }
        recallPage(after: "", of: takeover, from: records)
    }

    private func recallPage(after name: String, of takeover: Takeover, from records: any SessionRecording) {
        records.load(after: name, limit: Self.page).assumeIsolated().whenComplete { result in
            // A newer map asks anew. Without the database nobody is recalled.
            guard self.map == takeover.map else { return }
            guard case .success(let page) = result, let last = page.last else { return self.recalled(takeover) }
            for record in page where takeover.concerns(record.user) { self.recall(record) }
            self.recallPage(after: last.name, of: takeover, from: records)
        }
    }

    /// The last page is read; the users of the sessions are being loaded, which their traffic waits for in any case.
    private func recalled(_ takeover: Takeover) {
        guard self.takeover?.map == takeover.map else { return }
        self.takeover?.isRecalled = true
        endTakeoverIfHeard()
    }

    private func recall(_ record: SessionRecord) {
        guard sessions[record.name] == nil, arrivals[record.name] == nil else { return }
        recallsUnderWay += 1
        users.with(record.user) { outcome in
            self.recallsUnderWay -= 1
            defer { if self.recallsUnderWay == 0 { self.endTakeoverIfHeard() } }
            guard case .user(let user) = outcome, self.owns(record.user), self.sessions[record.name] == nil,
                self.arrivals[record.name] == nil, user.session(resource: record.resource) == nil,
                let jid = try? record.user.with(resource: record.resource)
            else {
                if self.owns(record.user), self.sessions[record.name] == nil {
                    self.records?.ended(record.name, of: record.user)
                }
                return
            }
            self.recall(record, jid, of: user)
        }
    }

    private func recall(_ record: SessionRecord, _ jid: JID, of user: User) {
        let limits = configuration.sm.limits
        let since = record.detachedAt ?? now()
        let session = Session(
            name: record.name,
            jid: jid,
            user: user,
            flow: InstanceFlow(instance: record.instance),
            connection: Session.Connection(),
            opened: since,
            outbox: SessionOutbox(
                maximumCount: limits.unacknowledgedStanzas,
                maximumBytes: limits.unacknowledgedBytes,
                window: configuration.sessionWindow
            )
        )
        session.attach = record.attach
        session.settlement = InboundSettlement(run: record.settledRun)
        session.countsFrom = record.countsFrom
        session.isRecalled = true
        var due = since + Self.grace
        if record.detachedAt != nil, let hash = record.tokenHash {
            session.resumption = Session.Resumption(hash: hash, seconds: record.resumptionSeconds)
            due = since + Int64(record.resumptionSeconds) * 1_000_000
        }
        session.outbox.restoreUnknown()
        var state = record.state.map { SessionState($0) } ?? SessionState()
        if record.state == nil { state.presence = Stanza(kind: .presence, from: jid) }
        session.restore(state)
        session.recalledSent = state.sent
        for id in state.lately { user.known.remember(id) }
        session.state = .broken(since: since)
        metrics.brokenSessions.increment()
        user.insert(session)
        sessions[record.name] = session
        sessionsChanged()
        session.expiry = eventLoop.assumeIsolated().scheduleTask(in: .microseconds(max(0, due - now()))) {
            self.end(session, .lost)
        }
        logger.debug("session recalled", metadata: ["jid": "\(jid)", "peer": "\(record.instance)"])
    }

    /// The client of a session that was recalled says what it has got: that does not come again.
    func acknowledgeRecalled(_ h: UInt32, in session: Session) {
        guard let sent = session.recalledSent else { return }
        session.recalledSent = nil
        let ids = sent.ids(upTo: h)
        acknowledged(session.outbox.removeQueued { ids.contains($0.stableID) }, in: session)
        for id in ids { session.user.known.remember(id) }
    }

    /// Its C2S presents it after all: what is known from the record gives way.
    func dismissRecalled(_ session: Session) {
        session.expiry?.cancel()
        session.expiry = nil
        metrics.brokenSessions.decrement()
        session.state = .ended
        sessions[session.name] = nil
        session.user.remove(session)
    }
}
