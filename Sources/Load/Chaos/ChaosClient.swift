// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore

/// What a client of a chaos run asks of the whole; all on the one event loop of the generator.
protocol ChaosClientOwner: AnyObject {
    /// Nanoseconds since the start.
    var now: Int64 { get }
    var records: ChaosRecords { get set }
    /// Connects to one of the servers.
    func connect(_ client: ChaosClient, resumes: (token: String, received: UInt32)?) -> ChaosConnection
    func stanza(of message: MessageReference, session: Int) -> String
    func client(_ client: ChaosClient, received stanza: ReceivedStanza, session: Int)
    /// It reads nothing more.
    func clientFellSilent(_ client: ChaosClient)
    func clientLoggedIn(_ client: ChaosClient, _ resumption: LoginStateMachine.Resumption, secondsAway: Double)
    func client(_ client: ChaosClient, lost connection: ChaosConnection, reason: String)
    func client(_ client: ChaosClient, failedToLogIn reason: String)
    /// A fraction of 1.
    func random() -> Double
}

/// One account of a chaos run. It reconnects whenever its connection breaks, resumes its session (XEP-0198 section 5),
/// and sends again what the server has not handled; where the session is gone, in a new one.
///
/// | state | left by |
/// | --- | --- |
/// | away | `comeBack` → waiting |
/// | waiting (for the end of a pause) | `look` → connecting |
/// | connecting | a login → online; a failure → waiting |
/// | online | a broken connection → waiting; `leave` → away, leaving or silent |
/// | leaving (for acknowledgements before a clean end) | `look` → away |
/// | silent (reads nothing) | `comeBack` → waiting |
final class ChaosClient: ChaosConnectionOwner {
    enum Farewell: CaseIterable {
        /// The stream ends, then the connection.
        case clean
        /// The connection breaks, and the session is resumed later.
        case untilResumption
        /// The connection breaks, and a new session is opened later.
        case forGood
        /// The client reads nothing more; later the connection breaks, and the session is resumed.
        case silent
    }

    private enum State {
        case away
        case waiting(until: Int64)
        case connecting(ChaosConnection)
        case online(ChaosConnection)
        case leaving(ChaosConnection, since: Int64)
        case silent(ChaosConnection)
    }

    private static let stanzasPerRequest = 5
    private static let requestInterval: Int64 = 200_000_000
    private static let idleRequestInterval: Int64 = 5_000_000_000
    /// After this long without an answer to `<r/>`, or within a login, the connection is given up.
    private static let patience: Int64 = 15_000_000_000
    /// What a clean end waits for at most.
    private static let farewellTime: Int64 = 2_000_000_000
    /// What may be under way; a message beyond it falls to another client.
    private static let unacknowledgedLimit = 500

    /// From 0.
    let index: Int
    private unowned let owner: any ChaosClientOwner
    private var state = State.away
    /// The session, if it may go on.
    private var books: SessionBooks?
    private var sessions = 0
    /// Messages of sessions that are gone, of which nobody knows whether they were handled.
    private var doubtful: [MessageReference] = []
    private var failures = 0
    private var brokenAt: Int64 = 0
    private var isToLogInAnew = false
    private var owesAcknowledgement = false
    private var sentSinceRequest = 0
    private var lastRequest: Int64 = 0
    private var unansweredSince: Int64?

    init(index: Int, owner: any ChaosClientOwner) {
        (self.index, self.owner) = (index, owner)
    }

    var isOnline: Bool { connection != nil }

    var isAway: Bool {
        switch state {
        case .away, .silent: true
        case .waiting, .connecting, .online, .leaving: false
        }
    }

    /// Whether it takes part in the sending.
    var maySend: Bool {
        guard case .online = state, let books else { return false }
        return books.unacknowledged.count < Self.unacknowledgedLimit
    }

    var isSilent: Bool { if case .silent = state { true } else { false } }

    /// Messages that were sent, or are to be sent again, and are not acknowledged.
    var unacknowledged: [MessageReference] {
        doubtful + (books?.unacknowledged ?? []).compactMap(\.message)
    }

    private var connection: ChaosConnection? {
        switch state {
        case .online(let connection), .leaving(let connection, _): connection
        case .away, .waiting, .connecting, .silent: nil
        }
    }

    // MARK: - By the will of the run

    func comeBack(after pause: Int64 = 0) {
        switch state {
        case .away: state = .waiting(until: owner.now + pause)
        case .leaving(let connection, _): state = .online(connection)
        case .silent(let connection):
            breakOff(connection)
            state = .waiting(until: owner.now + pause)
        case .waiting, .connecting, .online: break
        }
    }

    func leave(_ how: Farewell) {
        guard case .online(let connection) = state else { return }
        switch how {
        case .clean: state = .leaving(connection, since: owner.now)
        case .untilResumption: breakOff(connection)
        case .forGood:
            breakOff(connection)
            isToLogInAnew = true
        case .silent:
            disturb()
            connection.stopReading()
            state = .silent(connection)
            owner.clientFellSilent(self)
        }
    }

    /// The connection breaks, and it comes back at once.
    func drop() -> Bool {
        guard let connection else { return false }
        breakOff(connection)
        state = .waiting(until: owner.now + pause())
        return true
    }

    /// Ends everything, cleanly where possible.
    func quit() {
        switch state {
        case .online(let connection), .leaving(let connection, _): close(connection)
        case .connecting(let connection), .silent(let connection): connection.drop(.close)
        case .away, .waiting: break
        }
        state = .away
    }

    /// The acknowledgement of what is under way may take its time.
    func disturb() {
        for message in unacknowledged { owner.records.disturbed(message) }
    }

    private func breakOff(_ connection: ChaosConnection) {
        disturb()
        connection.drop(owner.random() < 0.5 ? .close : .reset)
        brokenAt = owner.now
        state = .away
    }

    private func close(_ connection: ChaosConnection) {
        writeAcknowledgement(connection)
        connection.close()
        brokenAt = owner.now
        giveUpSession()
        state = .away
    }

    // MARK: - Time

    /// To be called every 50 ms or so.
    func look() {
        let now = owner.now
        switch state {
        case .away, .silent: break
        case .waiting(let until): if now >= until { connect() }
        case .connecting(let connection):
            if (NIODeadline.now() - connection.started).nanoseconds > Self.patience {
                connection.giveUp("no login within 15 s")
            }
        case .online(let connection): request(connection, now)
        case .leaving(let connection, let since):
            request(connection, now)
            // It may have been given up.
            guard self.connection === connection else { return }
            if books?.unacknowledged.isEmpty ?? true || now - since > Self.farewellTime { close(connection) }
        }
    }

    private func request(_ connection: ChaosConnection, _ now: Int64) {
        if let unansweredSince, now - unansweredSince > Self.patience {
            return connection.giveUp("no answer to <r/> within 15 s")
        }
        let isEmpty = books?.unacknowledged.isEmpty ?? true
        guard now - lastRequest >= (isEmpty ? Self.idleRequestInterval : Self.requestInterval) else { return }
        writeRequest(connection)
        connection.flush()
    }

    private func connect() {
        if isToLogInAnew { giveUpSession() }
        isToLogInAnew = false
        let resumes = books.flatMap { books in books.token.map { (token: $0, received: books.received) } }
        state = .connecting(owner.connect(self, resumes: resumes))
    }

    /// Between attempts: short and random at first, then longer.
    private func pause() -> Int64 {
        let longest = 0.5 * Double(1 << min(failures, 3))
        return Int64((0.05 + owner.random() * longest) * 1e9)
    }

    // MARK: - Sending

    func send(_ message: MessageReference) {
        guard let connection else { return }
        put(.message(message), connection)
    }

    func flush() { connection?.flush() }

    private func put(_ entry: SessionBooks.Entry, _ connection: ChaosConnection) {
        books?.send(entry)
        write(entry, connection)
        sentSinceRequest += 1
        if sentSinceRequest >= Self.stanzasPerRequest { writeRequest(connection) }
    }

    private func write(_ entry: SessionBooks.Entry, _ connection: ChaosConnection) {
        switch entry {
        case .message(let message): connection.write(owner.stanza(of: message, session: books?.ordinal ?? 0))
        case .other(let text): connection.write(text)
        }
    }

    private func writeRequest(_ connection: ChaosConnection) {
        connection.write("<r xmlns='urn:xmpp:sm:3'/>")
        sentSinceRequest = 0
        lastRequest = owner.now
        if unansweredSince == nil { unansweredSince = lastRequest }
    }

    private func writeAcknowledgement(_ connection: ChaosConnection) {
        owesAcknowledgement = false
        connection.write("<a xmlns='urn:xmpp:sm:3' h='\(books?.received ?? 0)'/>")
    }

    // MARK: - The session

    /// What of it is in doubt is sent again in the next one.
    private func giveUpSession() {
        doubtful = unacknowledged
        books = nil
    }

    private func acknowledge(_ h: UInt32) {
        guard let entries = books?.acknowledge(h) else {
            let state = books.map { "\($0.acknowledged) to \($0.sent)" } ?? "none"
            let text = "client \(index): h=\(h), possible are \(state)"
            return owner.records.note(.impossibleAcknowledgement, text: text)
        }
        for case .message(let message) in entries { owner.records.acknowledged(message, at: owner.now) }
    }

    func connectionReady(_ connection: ChaosConnection, _ login: LoginStateMachine) {
        guard case .connecting(let current) = state, current === connection else { return }
        state = .online(connection)
        failures = 0
        unansweredSince = nil
        sentSinceRequest = 0
        owesAcknowledgement = false
        owner.clientLoggedIn(self, login.resumption, secondsAway: Double(owner.now - brokenAt) / 1e9)
        switch login.resumption {
        case .resumed(let handled): resume(connection, handled)
        case .refused(let handled, _):
            if let handled { acknowledge(handled) }
            begin(connection, token: login.token)
        case .none: begin(connection, token: login.token)
        }
        if !(books?.unacknowledged.isEmpty ?? true) { writeRequest(connection) }
    }

    private func resume(_ connection: ChaosConnection, _ handled: UInt32) {
        acknowledge(handled)
        for entry in books?.unacknowledged ?? [] { write(entry, connection) }
    }

    private func begin(_ connection: ChaosConnection, token: String?) {
        giveUpSession()
        sessions += 1
        books = SessionBooks(ordinal: sessions, token: token)
        put(.other("<presence/>"), connection)
        let messages = doubtful
        doubtful.removeAll()
        for message in messages { put(.message(message), connection) }
    }

    func connection(_ connection: ChaosConnection, received stanza: ReceivedStanza) {
        guard self.connection === connection else { return }
        switch stanza.kind {
        case .message, .presence:
            books?.stanzaReceived()
            owner.client(self, received: stanza, session: books?.ordinal ?? 0)
        case .iq:
            books?.stanzaReceived()
            answer(stanza, connection)
        case .acknowledgementRequest: owesAcknowledgement = true
        case .acknowledgement:
            unansweredSince = nil
            if let h = stanza["h"].flatMap({ UInt32($0) }) { acknowledge(h) }
        case .other: break
        }
    }

    /// A ping (XEP-0199) is the only request that a server makes of a client; an answer to an error would be wrong.
    private func answer(_ iq: ReceivedStanza, _ connection: ChaosConnection) {
        guard iq.has("type", "get"), let id = iq["id"], let from = iq["from"] else { return }
        put(.other("<iq type='result' to='\(from)' id='\(id)'/>"), connection)
    }

    func connectionFinishedReading(_ connection: ChaosConnection) {
        guard self.connection === connection, owesAcknowledgement else { return }
        writeAcknowledgement(connection)
    }

    func connectionEnded(_ connection: ChaosConnection, reason: String) {
        switch state {
        case .connecting(let current) where current === connection:
            failures += 1
            owner.client(self, failedToLogIn: reason)
        case .silent(let current) where current === connection:
            brokenAt = owner.now
            state = .away
            return
        case .online(let current) where current === connection,
            .leaving(let current, _) where current === connection:
            brokenAt = owner.now
            owner.client(self, lost: connection, reason: reason)
        default: return
        }
        state = .waiting(until: owner.now + pause())
    }
}
