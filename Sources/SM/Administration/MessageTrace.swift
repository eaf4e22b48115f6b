// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import NIOCore
import XMPPCore

/// A place in which a message is that no client has acknowledged: for `jackdawctl trace message` and for a metric.
struct MessageTrace: Equatable {
    enum Place: String {
        /// On its way to a client, or at it, and not acknowledged.
        case sent
        /// In the outbox of a session, which may take no more for now, or is broken.
        case queued
        /// Behind what the user's spool is being read for.
        case waiting
        /// In memory only, since the database is away.
        case memory
        /// For a user of another SM, which has not settled it.
        case forwarded
        /// In a takeover: what it waits for is the rest of what is said about users that are ours since then.
        case held
        /// For a domain that is not ours, and waits for the link.
        case outside
        /// A row in PostgreSQL.
        case spool
    }

    var place: Place
    var user: BareJID
    /// The session that holds it.
    var jid: JID?
    /// The C2S that has or had the session's connection; for what is forwarded, the SM that it is for.
    var instance: String?
    /// Whether it has a row in PostgreSQL.
    var isStored: Bool
    /// When the server got it, in microseconds since 1970.
    var since: Int64
}

extension SMServer {
    /// Everywhere in memory that this stable id is.
    func trace(_ stableID: String) -> [MessageTrace] {
        var found: [MessageTrace] = []
        for user in users.all {
            for session in user.sessions {
                let isIt = { (entry: SessionOutbox<Outgoing>.Entry) in entry.payload.stableID == stableID }
                found += session.outbox.wire.filter(isIt).map { trace($0, .sent, session) }
                found += session.outbox.queue.filter(isIt).map { trace($0, .queued, session) }
            }
            for passage in user.spool.waiting where passage.stableID == stableID {
                found.append(MessageTrace(.waiting, user.jid, since: passage.received))
            }
            for outgoing in user.spool.homeless where outgoing.stableID == stableID {
                found.append(MessageTrace(.memory, user.jid, since: outgoing.received))
            }
        }
        return found + traceWaiting(stableID)
    }

    /// What waits for something else than its receiver's sessions.
    private func traceWaiting(_ stableID: String) -> [MessageTrace] {
        var found: [MessageTrace] = []
        let note = { (place: MessageTrace.Place, passage: Passage, instance: String?) in
            guard passage.stanza.kind == .message, passage.stableID == stableID, let to = passage.stanza.to else {
                return
            }
            found.append(MessageTrace(place, to.bare, at: instance, since: passage.received))
        }
        for passage in postponed.passages { note(.memory, passage, nil) }
        for passage in outside.passages { note(.outside, passage, nil) }
        for (passage, owner) in forwarded.all { note(.forwarded, passage, owner) }
        for message in heldMessages where message.id() == stableID {
            guard let user = message.jid?.bare ?? message.stanza.to?.bare ?? message.stanza.from?.bare else { continue }
            found.append(MessageTrace(.held, user, of: message.jid, at: message.instance, since: message.since))
        }
        return found
    }

    private func trace(
        _ entry: SessionOutbox<Outgoing>.Entry,
        _ place: MessageTrace.Place,
        _ session: Session
    ) -> MessageTrace {
        MessageTrace(
            place: place,
            user: session.user.jid,
            jid: session.jid,
            instance: session.instance,
            isStored: entry.delivery.map(session.user.ledger.isStored) ?? false,
            since: entry.payload.received
        )
    }

    /// When the oldest message came that nobody acknowledged and that has no row: it is lost with this process. In
    /// microseconds since 1970; nil: there is none.
    var oldestUnstored: Int64? {
        var oldest: Int64?
        let note = { (time: Int64) in oldest = min(oldest ?? time, time) }
        for user in users.all {
            for session in user.sessions { session.outbox.firstUnstored(in: user.ledger).map { note($0.received) } }
            user.spool.waiting.first.map { note($0.received) }
            user.spool.homeless.first.map { note($0.received) }
        }
        let isMessage = { (passage: Passage) in passage.stanza.kind == .message }
        postponed.passages.first(where: isMessage).map { note($0.received) }
        outside.passages.first(where: isMessage).map { note($0.received) }
        for (passage, _) in forwarded.all where isMessage(passage) { note(passage.received) }
        for message in heldMessages { note(message.since) }
        return oldest
    }
}

extension MessageTrace {
    fileprivate init(_ place: Place, _ user: BareJID, of jid: JID? = nil, at instance: String? = nil, since: Int64) {
        self.init(place: place, user: user, jid: jid, instance: instance, isStored: false, since: since)
    }
}

extension SessionOutbox<Outgoing> {
    /// Within an outbox the first that was put there is the oldest.
    fileprivate func firstUnstored(in ledger: MessageLedger) -> Outgoing? {
        let isUnstored = { (entry: Entry) in entry.delivery.map { !ledger.isStored($0) } ?? false }
        return (wire.first(where: isUnstored) ?? queue.first(where: isUnstored))?.payload
    }
}
