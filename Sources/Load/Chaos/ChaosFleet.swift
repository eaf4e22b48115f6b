// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// All clients of a chaos run: who writes to whom and when, who is away, and what came of it.
///
/// All state is confined to the generator's one event loop.
final class ChaosFleet: ChaosClientOwner {
    /// Where some of the clients have their accounts.
    struct Place: Sendable {
        let domain: String
        let servers: [ChaosConnector.Server]
    }

    struct Plan: Sendable {
        var clients: Int
        /// How many others each client writes to.
        var partners: Int
        /// Messages per second, of all together.
        var rate: Double
        /// The share of the clients that come and go.
        var comers: Double
        var bodyBytes: Int
        var home: Place
        /// The last clients are somewhere else, and so many.
        var remote: (place: Place, count: Int)?
        var seed: UInt64
    }

    /// What happened to connections and sessions since the last report.
    struct Events: Sendable {
        var logins = 0
        var resumptions = 0
        var refusedLogins: [String: Int] = [:]
        var unexpectedDisconnects = 0
        var departures = 0
        /// Messages that were due when no client could send.
        var unsent = 0
    }

    /// Said at once: the other end of the connection is looked up by its port.
    struct Disconnect: Sendable {
        let client: Int
        let time: Int64
        let localPort: Int?
        /// Of a client at the other suite.
        let isRemote: Bool
        let reason: String
    }

    private static let tickInterval = TimeAmount.milliseconds(5)
    private static let lookInterval: Int64 = 50_000_000
    private static let quietTime: Int64 = 2_000_000_000

    let plan: Plan
    private let options: LoadOptions
    private let eventLoop: any EventLoop
    private let connector: ChaosConnector
    private let padding: String
    private let start = NIODeadline.now()
    private var generator: ChaosRandom
    private(set) var clients: [ChaosClient] = []
    /// When those who come and go do so next.
    private var moves: [Int64] = []
    var records: ChaosRecords
    private(set) var events = Events()
    private var schedule: OpenLoopSchedule?
    private var nextPair = 0
    private var lastLook: Int64 = 0
    private var lastArrival: Int64 = 0
    private(set) var faults: [Range<Int64>] = []
    private var faultSince: Int64?
    private var isOver = false
    private let disconnected: (Disconnect) -> Void

    init(
        _ plan: Plan,
        _ options: LoadOptions,
        on eventLoop: any EventLoop,
        passwords: SaltedPasswords,
        disconnected: @escaping (Disconnect) -> Void
    ) throws {
        self.plan = plan
        self.options = options
        self.eventLoop = eventLoop
        self.disconnected = disconnected
        connector = try ChaosConnector(options, on: eventLoop, passwords: passwords)
        padding = String(repeating: "x", count: max(plan.bodyBytes - 16, 0))
        generator = ChaosRandom(seed: plan.seed)
        records = ChaosRecords(pairs: plan.clients * plan.partners)
    }

    var now: Int64 { (NIODeadline.now() - start).nanoseconds }

    func random() -> Double { Double.random(in: 0..<1, using: &generator) }

    // MARK: - Who writes to whom

    /// The pairs of a client are next to each other; its receivers are spread over all.
    private func sender(of pair: Int) -> Int { pair / plan.partners }

    func receiver(of pair: Int) -> Int {
        let step = 1 + pair % plan.partners * max(plan.clients / plan.partners, 1)
        return (sender(of: pair) + step) % plan.clients
    }

    private func isRemote(_ client: Int) -> Bool { client >= plan.clients - (plan.remote?.count ?? 0) }

    private func place(of client: Int) -> Place { isRemote(client) ? plan.remote?.place ?? plan.home : plan.home }

    func address(of client: Int) -> String { "\(options.user(client + 1))@\(place(of: client).domain)" }

    func stanza(of message: MessageReference, session: Int) -> String {
        ChaosMark(message, session: session).stanza(to: address(of: receiver(of: message.pair)), padding: padding)
    }

    /// Who sent it and who is to get it, for people.
    func description(of message: MessageReference) -> (from: String, to: String) {
        (address(of: sender(of: message.pair)), address(of: receiver(of: message.pair)))
    }

    // MARK: - The course of the run

    /// Logs all in, over two seconds.
    func begin() {
        let spread: Int64 = 2_000_000_000
        for index in 0..<plan.clients {
            let client = ChaosClient(index: index, owner: self)
            clients.append(client)
            client.comeBack(after: spread * Int64(index) / Int64(plan.clients))
        }
        tick()
    }

    func resumeSending() {
        schedule = OpenLoopSchedule(start: now, messagesPerSecond: plan.rate)
        let comers = Int((Double(plan.clients) * plan.comers).rounded())
        // At first soon: a round may be short.
        moves = (0..<comers).map { _ in now + Int64(random() * 6e9) }
    }

    /// Nothing new is sent, and everybody comes back to fetch what waits.
    func stopSending() {
        schedule = nil
        moves = []
        for client in clients { client.comeBack() }
    }

    /// Everything is acknowledged or refused, everybody is there, and nothing has arrived for a while.
    var isAtRest: Bool {
        records.unresolved == 0 && now - lastArrival > Self.quietTime && clients.allSatisfy(\.isOnline)
    }

    /// Breaks the connections of some clients; returns of how many.
    func drop(_ count: Int) -> Int {
        let chosen = clients.filter(\.isOnline).shuffled(using: &generator).prefix(count)
        return chosen.filter { $0.drop() }.count
    }

    func faultBegan() { if faultSince == nil { faultSince = now } }

    func faultEnded() {
        if let faultSince { faults.append(faultSince..<now) }
        faultSince = nil
    }

    /// Ends the round.
    func endRound() -> (ChaosVerdict, Events) {
        for client in clients where !client.isOnline {
            records.note(.absent, text: "client \(client.index), \(address(of: client.index))")
        }
        let until = now
        let verdict = records.endRound(faults: faults + (faultSince.map { [$0..<until] } ?? []))
        faults = []
        if faultSince != nil { faultSince = until }
        defer { events = Events() }
        return (verdict, events)
    }

    func quit() {
        isOver = true
        schedule = nil
        for client in clients { client.quit() }
    }

    private func tick() {
        guard !isOver else { return }
        sendWhatIsDue()
        let time = now
        if time - lastLook >= Self.lookInterval {
            lastLook = time
            comeAndGo(time)
            for client in clients { client.look() }
        }
        eventLoop.assumeIsolated().scheduleTask(in: Self.tickInterval) { self.tick() }
    }

    private func sendWhatIsDue() {
        guard var schedule else { return }
        var senders: Set<Int> = []
        for _ in schedule.due(at: now) {
            guard let pair = nextSendingPair() else {
                events.unsent += 1
                continue
            }
            let sender = sender(of: pair)
            let message = records.sent(pair: pair, at: now)
            // Acknowledgements are in order: one message that waits holds back those after it.
            if writesToSomebodySilent(sender) { records.disturbed(message) }
            clients[sender].send(message)
            senders.insert(sender)
        }
        self.schedule = schedule
        for sender in senders { clients[sender].flush() }
    }

    private func pairs(of sender: Int) -> Range<Int> { sender * plan.partners..<(sender + 1) * plan.partners }

    private func writesToSomebodySilent(_ sender: Int) -> Bool {
        pairs(of: sender).contains { clients[receiver(of: $0)].isSilent }
    }

    func clientFellSilent(_ client: ChaosClient) {
        for sender in clients.indices where pairs(of: sender).contains(where: { receiver(of: $0) == client.index }) {
            clients[sender].disturb()
        }
    }

    /// In turn, but for those whose sender cannot send.
    private func nextSendingPair() -> Int? {
        let count = plan.clients * plan.partners
        for _ in 0..<count {
            // All clients in turn, then their next receivers.
            let pair = nextPair % plan.clients * plan.partners + nextPair / plan.clients
            nextPair = (nextPair + 1) % count
            if clients[sender(of: pair)].maySend { return pair }
        }
        return nil
    }

    private func comeAndGo(_ time: Int64) {
        for index in moves.indices where moves[index] <= time {
            let client = clients[index]
            if client.isAway {
                client.comeBack()
                moves[index] = time + stay()
            } else {
                let how = ChaosClient.Farewell.allCases.randomElement(using: &generator) ?? .clean
                client.leave(how)
                if client.isAway || !client.maySend { events.departures += 1 }
                moves[index] = time + absence()
            }
        }
    }

    /// 3 to 15 s.
    private func stay() -> Int64 { Int64((3 + random() * 12) * 1e9) }

    /// 0.2 to 10 s.
    private func absence() -> Int64 { Int64((0.2 + random() * 9.8) * 1e9) }
}

// MARK: - What the clients tell

extension ChaosFleet {
    func client(_ client: ChaosClient, received stanza: ReceivedStanza, session: Int) {
        guard stanza.kind == .message else { return }
        lastArrival = now
        switch ArrivedMessage(stanza).content {
        case .error(let message, let condition): records.refused(message, condition: condition)
        case .message(let message, let senderSession, let stableID):
            guard message.pair < plan.clients * plan.partners, receiver(of: message.pair) == client.index else {
                return records.note(.unknown, message, text: "arrived at \(address(of: client.index))")
            }
            records.received(
                Receipt(
                    message: message,
                    senderSession: senderSession,
                    receiverSession: session,
                    stableID: stableID.map { ChaosRandom.hash($0) } ?? 0,
                    time: lastArrival
                )
            )
        case .foreign: break
        }
    }

    func clientLoggedIn(_ client: ChaosClient, _ resumption: LoginStateMachine.Resumption, secondsAway: Double) {
        switch resumption {
        case .resumed: events.resumptions += 1
        case .none: events.logins += 1
        case .refused(let handled, let reason):
            events.logins += 1
            let known = handled.map { ", h=\($0)" } ?? ""
            let text = "\(address(of: client.index)): \(reason)\(known), after \(secondsAway) s"
            records.note(.failedResumption, text: text)
        }
    }

    func client(_ client: ChaosClient, lost connection: ChaosConnection, reason: String) {
        events.unexpectedDisconnects += 1
        disconnected(
            Disconnect(
                client: client.index,
                time: now,
                localPort: connection.localPort,
                isRemote: isRemote(client.index),
                reason: reason
            )
        )
    }

    func client(_ client: ChaosClient, failedToLogIn reason: String) {
        // Without what differs each time, such as ports.
        let kind = String(reason.prefix { !$0.isNumber }.prefix(200))
        events.refusedLogins[kind, default: 0] += 1
    }

    func connect(_ client: ChaosClient, resumes: (token: String, received: UInt32)?) -> ChaosConnection {
        connector.connect(client, at: place(of: client.index), using: &generator, resumes: resumes)
    }
}
