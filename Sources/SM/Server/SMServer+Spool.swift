// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import Storage
import XMPPCore

/// To and from the spool (XEP-0160): messages for those who are away.
extension SMServer {
    /// How many rows are read at once, if they are small.
    private static let pageRows = 100
    /// What may wait for a user until the spool is read.
    private static let waitingStanzas = 1_000
    private static let waitingBytes = 1 << 20

    // MARK: - Writing

    /// A message for a user who has no session that takes it. The stanza is settled when the row is committed, or
    /// when the sender's error is sent.
    func store(_ passage: Passage, for user: User) {
        guard configuration.sm.isEnabled(.offline) else { return replyError(to: passage, .serviceUnavailable) }
        guard isStored(passage) else { return }
        passage.hold()
        // What could not be written is older.
        for message in takeHomeless(of: user) { keep(message, for: user) }
        let outgoing = Outgoing(
            stanza: passage.stanza,
            received: passage.received,
            stableID: passage.stableID,
            passage: passage
        )
        let entry = SpoolEntry(outgoing, for: user.jid)
        user.spool.beginAppend(outgoing)
        append(entry, for: user, quota: configuration.sm.limits.offlineMessages) { result in
            user.spool.endAppend(outgoing)
            switch result {
            case .failure where user.isMoved: break
            case .success(.stored): self.metrics.messagesStored.increment()
            case .success(.full):
                self.replyError(
                    to: passage,
                    StanzaError(.resourceConstraint, type: .wait, text: "too many messages wait")
                )
            case .success(.noSuchUser): self.replyError(to: passage, .serviceUnavailable)
            case .failure(DatabaseError.fenced): self.routeAgain(passage)
            case .failure: self.postpone(passage)
            }
            passage.release()
        }
    }

    /// The user is another SM's by now.
    func routeAgain(_ passage: Passage) {
        if passage.origin != nil { passage.abandon() } else { routeLocally(passage) }
    }

    /// A message that was accepted already and lost its session: it is kept whatever the quota, in memory while the
    /// database is away.
    func keep(_ outgoing: Outgoing, for user: User) {
        guard configuration.sm.isEnabled(.offline) else {
            if let error = outgoing.stanza.error(.serviceUnavailable) { route(error) }
            settle(outgoing, of: user)
            return
        }
        guard OfflinePolicy.isStored(outgoing.stanza) else {
            settle(outgoing, of: user)
            return
        }
        // Whoever reads the spool may be past its place.
        if user.spool.reading != .idle { user.spool.isIncomplete = true }
        user.spool.beginAppend(outgoing)
        append(SpoolEntry(outgoing, for: user.jid), for: user, quota: .max) { result in
            user.spool.endAppend(outgoing)
            // It is written once more, which tells what becomes of it.
            guard !user.isMoved else { return }
            if case .success(.stored) = result {
                // A row has it, no client: it is read from there, so it is not known as one that is done.
                outgoing.passage?.leaveCustody()
                return user.known.stored(outgoing.stableID)
            }
            guard case .failure = result, !user.isRemoved else { return self.settle(outgoing, of: user) }
            if case .failure(DatabaseError.unavailable) = result { user.spool.mustWriteFirst = true }
            user.spool.homeless.append(outgoing)
            self.homeless.insert(user.jid)
        }
    }

    func isStored(_ passage: Passage) -> Bool {
        OfflinePolicy.isStored(MessageType(attribute: passage.stanza.type), passage.children)
    }

    func append(
        _ entry: SpoolEntry,
        for user: User,
        quota: Int,
        completion: @escaping (Result<SpoolOutcome, any Error>) -> Void
    ) {
        user.spool.writes += 1
        user.spool.mayHaveRows = true
        stores.spool.append(entry, quota: quota).assumeIsolated().whenComplete { result in
            user.spool.writes -= 1
            completion(result)
            self.readAppends(of: user)
            self.users.noteIfIdle(user)
        }
    }

    /// Tries again what could not be written; called by a timer.
    func rewriteHomeless() {
        let due = homeless
        homeless = []
        for jid in due {
            guard let user = users[jid] else { continue }
            // A session that reads the spool gets them in their place.
            let isReading = user.spool.reading != .idle
            for message in takeHomeless(of: user) {
                if isReading { keep(message, for: user) } else { rehome(message, row: nil, of: user) }
            }
        }
    }

    private func takeHomeless(of user: User) -> [Outgoing] {
        defer {
            user.spool.homeless = []
            user.spool.mustWriteFirst = false
        }
        return user.spool.homeless
    }

    /// Tries again to delete what could not be deleted; called by a timer.
    func deleteDoomed() {
        let due = doomed
        doomed = []
        for user in due.compactMap({ users[$0] }) where !user.spool.doomed.isEmpty && !user.isRemoved {
            deleteFromSpool([], of: user)
        }
    }

    /// The client has these: their rows go. Those that could not be deleted go with the next ones, or are tried again by
    /// the timer; the user stays in memory until then, so that they are not read again.
    func deleteFromSpool(_ rows: [Int64], of user: User) {
        user.spool.doomed.formUnion(rows)
        let doomed = Array(user.spool.doomed)
        guard !doomed.isEmpty else { return }
        user.spool.writes += 1
        stores.spool.delete(doomed, of: user.jid).assumeIsolated().whenComplete { result in
            user.spool.writes -= 1
            switch result {
            case .success: user.spool.doomed.subtract(doomed)
            case .failure: self.doomed.insert(user.jid)
            }
            self.users.noteIfIdle(user)
        }
    }

    // MARK: - Reading

    /// Reads the spool into a session that takes messages. One session at a time reads it.
    func readSpool(into session: Session) {
        let user = session.user
        guard user.spool.reading == .idle, configuration.sm.isEnabled(.offline) else { return }
        user.spool.position = .start
        user.spool.isIncomplete = false
        readOn(into: session)
    }

    /// Reads the next page, or pauses while the session has enough to do, or the link.
    private func readOn(into session: Session) {
        let user = session.user
        guard !session.outbox.isBusy, !isLinkBusy, !isMemoryShort(for: user) else {
            return pauseReading(into: session)
        }
        user.spool.generation += 1
        let generation = user.spool.generation
        user.spool.reading = .reading(session.name)
        // What could not be written may be newer than rows, and is read in its place among them.
        for message in takeHomeless(of: user) { keep(message, for: user) }
        // The connection that reads is not behind those that write.
        if user.spool.appends > 0 {
            guard user.spool.position != .start else {
                user.spool.awaitsAppends = true
                return
            }
            user.spool.isIncomplete = true
        }
        let page = stores.spool.load(
            user.jid,
            after: user.spool.position,
            limit: Self.pageRows,
            bytes: configuration.sessionWindow / 4
        )
        page.assumeIsolated().whenComplete {
            guard user.spool.generation == generation, user.spool.reading == .reading(session.name), !user.isMoved
            else {
                return
            }
            switch $0 {
            case .success where user.spool.mustWriteFirst: self.readOnLater(into: session)
            case .success(let rows): self.read(rows, into: session)
            case .failure where user.spool.mayHaveRows:
                // What comes now waits behind what is there.
                self.readOnLater(into: session)
            case .failure:
                self.finishReading(of: user)
                self.retryReading(into: session)
            }
        }
    }

    private func read(_ rows: [SpoolRow], into session: Session) {
        let user = session.user
        guard let last = rows.last else { return endOfSpool(session) }
        var place = user.spool.position
        user.spool.position = last.position
        for row in rows {
            defer { place = row.position }
            guard !user.ledger.rows.contains(row.id), !user.spool.doomed.contains(row.id),
                !user.spool.isBeingWritten(row.stableID)
            else { continue }
            guard user.known.isEmpty || !isKnown(row, of: user) else { continue }
            guard let outgoing = outgoing(row, for: user) else { continue }
            guard !user.blocks(outgoing.stanza.from) else {
                deleteFromSpool([row.id], of: user)
                continue
            }
            let size = outgoing.encodedSize
            guard session.outbox.hasRoom(for: size), !isMemoryShort(for: user, adding: size) else {
                // It stays where it is, and those after it; those before it are known by the ledger.
                user.spool.position = place
                return pauseReading(into: session)
            }
            let type = MessageType(attribute: outgoing.stanza.type)
            guard put(outgoing, type, into: [session.resource], of: user, row: row.id) else { return }
        }
        readOn(into: session)
    }

    /// A client has the message of the row, or it was sent to one that has not acknowledged it.
    private func isKnown(_ row: SpoolRow, of user: User) -> Bool {
        if user.known.isDone(row.stableID) {
            deleteFromSpool([row.id], of: user)
            return true
        }
        guard let delivery = user.known.delivery(of: row.stableID), user.ledger.setRow(row.id, delivery) else {
            return false
        }
        // It gets no second row, so whoever waits for that need not.
        user.known.stored(row.stableID)
        return true
    }

    private func outgoing(_ row: SpoolRow, for user: User) -> Outgoing? {
        guard let stanza = SpoolCodec.decode(row.stanza) else {
            logger.error("a row of the spool is no stanza", metadata: ["jid": "\(user.jid)", "row": "\(row.id)"])
            return nil
        }
        return Outgoing(
            stanza: Delay.stamp(stanza, at: row.stored, from: user.jid.domain),
            received: row.stored,
            stableID: row.stableID
        )
    }

    private func endOfSpool(_ session: Session) {
        let user = session.user
        guard user.spool.isIncomplete else {
            user.spool.mayHaveRows = user.spool.writes > 0
            return finishReading(of: user)
        }
        guard user.spool.appends == 0 else {
            user.spool.awaitsAppends = true
            return
        }
        readAgain(into: session)
    }

    private func readAgain(into session: Session) {
        session.user.spool.isIncomplete = false
        session.user.spool.position = .start
        readOn(into: session)
    }

    /// What was being written while the spool was read has its rows, or will have none.
    private func readAppends(of user: User) {
        guard user.spool.awaitsAppends, user.spool.appends == 0, !user.isMoved,
            case .reading(let name) = user.spool.reading,
            let session = user.sessions.first(where: { $0.name == name })
        else { return }
        user.spool.awaitsAppends = false
        // Where the database did not take them, it is not asked at once again.
        if user.spool.homeless.isEmpty { readAgain(into: session) } else { readOnLater(into: session) }
    }

    /// What arrives meanwhile is stored behind the rest.
    private func pauseReading(into session: Session) {
        session.user.spool.reading = .paused(session.name)
        if isLinkBusy { queue(session) }
        if session.outbox.count == 0, isMemoryShort(for: session.user) { starved.append(session) }
        drain(session.user)
    }

    /// A message is left in the spool, or goes there, since the session has enough to do: it is read when there is room.
    func readLater(into session: Session) {
        let user = session.user
        guard user.spool.reading == .idle else {
            user.spool.isIncomplete = true
            return
        }
        user.spool.position = .start
        user.spool.reading = .paused(session.name)
    }

    /// The client acknowledged something, or the session's outbox was sent: there may be room for more.
    func continueReading(into session: Session) {
        guard case .paused(let name) = session.user.spool.reading, name == session.name else { return }
        readOn(into: session)
    }

    /// The session is gone or broken; another one that takes messages reads on.
    func stopReading(into session: Session) {
        let user = session.user
        guard user.spool.reading == .reading(session.name) || user.spool.reading == .paused(session.name) else {
            return
        }
        finishReading(of: user)
        if let other = user.sessions.first(where: { $0.target.takesMessages }) { readSpool(into: other) }
    }

    private func finishReading(of user: User) {
        user.spool.generation += 1
        user.spool.reading = .idle
        user.spool.awaitsAppends = false
        drain(user)
        users.noteIfIdle(user)
    }

    /// The database did not answer: it is asked again, and until then nothing overtakes the spool.
    private func readOnLater(into session: Session) {
        let user = session.user
        let generation = user.spool.generation
        eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) {
            guard user.spool.generation == generation, !user.isMoved else { return }
            self.readOn(into: session)
        }
    }

    private func retryReading(into session: Session) {
        eventLoop.assumeIsolated().scheduleTask(in: .seconds(5)) {
            guard session.target.takesMessages, session.state == .attached else { return }
            self.readSpool(into: session)
        }
    }

    // MARK: - Waiting for the end of the reading

    /// Keeps a message until the spool is read, so that older ones come first.
    func wait(_ passage: Passage, for user: User) {
        let size = passage.stanza.encodedSize
        guard user.spool.waiting.count < Self.waitingStanzas, user.spool.waitingBytes + size <= Self.waitingBytes
        else { return replyError(to: passage, .overloaded) }
        passage.hold()
        user.spool.waiting.append(passage)
        user.spool.waitingBytes += size
    }

    private func drain(_ user: User) {
        let waiting = user.spool.waiting
        user.spool.waiting = []
        user.spool.waitingBytes = 0
        for passage in waiting {
            deliverMessage(passage, to: user)
            passage.release()
        }
    }
}

extension SpoolEntry {
    init(_ outgoing: Outgoing, for user: BareJID) {
        self.init(
            user: user,
            stableID: outgoing.stableID,
            stored: outgoing.received,
            stanza: SpoolCodec.encode(outgoing.stanza)
        )
    }
}
