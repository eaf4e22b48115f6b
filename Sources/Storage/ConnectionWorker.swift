// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import NIOCore

/// What a connection's thread tells the loop: in batches, in order.
enum WorkerReport: Sendable {
    case finished(WorkUnit, Result<[StatementResult], DatabaseError>)
    /// The connection is up, or has been away for longer than the patience.
    case availability(Bool)
    /// A group was refused, since the epoch is another one: the connection waits for a new fence.
    case fenced
    /// The thread ends; nothing follows.
    case ended
}

/// Drives one connection on a thread of its own: connects, sends groups through the pipeline, collects answers.
///
/// One group is under way at a time: while it commits, the next one gathers. The thread sleeps in one `poll` on
/// libpq's socket and the mailbox.
///
/// ```
///            retry time                connected              units wait
///   away ───────────────▶ connecting ───────────▶ idle ◀──────────────────▶ busy(trip)
///     ▲                      │ failed, too late     │ lost       synced       │ lost, too late
///     └──────────────────────┴──────────────────────┴─────────────────────────┘
/// ```
@safe final class ConnectionWorker {
    private enum State {
        case away(until: NIODeadline)
        case connecting(PQConnection, PQConnection.Progress, deadline: NIODeadline)
        case idle(PQConnection)
        case busy(PQConnection, deadline: NIODeadline)
    }

    /// A unit is given up when it was under way on so many connections that were lost: it may be what breaks them.
    private static let maximumLosses = 3

    private let configuration: DatabaseConfiguration
    private let mailbox: Mailbox
    private let deliver: @Sendable ([WorkerReport]) -> Void
    private let logger: Logger

    private var state = State.away(until: .now())
    private var queue: GroupQueue
    /// The group under way, in state busy.
    private var trip = GroupTrip([], known: [])
    private var known: Set<String> = []
    private var encoder = ParameterEncoder()
    private var reports: [WorkerReport] = []
    private var retryDelay: TimeAmount
    /// When the connection was lost; nil while there is one.
    private var lostAt: NIODeadline? = .now()
    /// Requests fail at once.
    private var isAway = false
    private var hasReported = false
    /// This outage is in the log.
    private var hasWarned = false
    private var closingDeadline: NIODeadline?
    /// The epoch that each group with a claim asks for.
    private var epoch: UInt64?
    /// PostgreSQL has another one: nothing is sent until there is a new fence.
    private var isFenced = false
    /// New fences that the group under way has not seen.
    private var missedFences: [Fence] = []

    init(
        _ configuration: DatabaseConfiguration,
        mailbox: Mailbox,
        logger: Logger,
        deliver: @escaping @Sendable ([WorkerReport]) -> Void
    ) {
        self.configuration = configuration
        self.mailbox = mailbox
        self.logger = logger
        self.deliver = deliver
        retryDelay = configuration.firstRetryDelay
        queue = GroupQueue(
            maximumUnits: configuration.groupRequests,
            maximumWeight: configuration.groupBytes
        )
    }

    /// The thread's life.
    func run() {
        while !isDone() {
            let mail = mailbox.take()
            queue.append(mail.units)
            for fence in mail.fences { renew(fence) }
            if mail.isClosing, closingDeadline == nil { closingDeadline = .now() + configuration.shutdownTimeout }
            advance()
            checkPatience()
            report()
            if !isDone() { sleep() }
        }
        failAll(queue.takeAll())
        reports.append(.ended)
        report()
    }

    private func isDone() -> Bool {
        guard let closingDeadline else { return false }
        if case .busy = state { return NIODeadline.now() >= closingDeadline && loseTrip() }
        return queue.isEmpty || NIODeadline.now() >= closingDeadline
    }

    /// Gives up the group under way at the end of a shutdown.
    private func loseTrip() -> Bool {
        failAll(trip.units)
        state = .away(until: .now())
        return true
    }

    /// Moves the state on as far as it goes without waiting.
    private func advance() {
        switch state {
        case .away(let until):
            if NIODeadline.now() >= until { connect() }
        case .connecting(let connection, _, let deadline):
            continueConnecting(connection, deadline)
        case .idle(let connection):
            guard connection.consumeInput() else { return lose(connection.errorMessage) }
            send(connection)
        case .busy(let connection, let deadline):
            receive(connection, deadline)
        }
    }

    // MARK: Connecting

    private func connect() {
        guard let connection = PQConnection(configuration) else { return lose("out of memory") }
        let deadline = NIODeadline.now() + configuration.connectTimeout
        // libpq: before the first PQconnectPoll, act as if it had asked to write.
        state = .connecting(connection, .waitingToWrite, deadline: deadline)
        if case .failed(let message) = startProgress(connection) { lose(message) }
    }

    private func startProgress(_ connection: PQConnection) -> PQConnection.Progress {
        connection.socket < 0 ? .failed(connection.errorMessage) : .waitingToWrite
    }

    private func continueConnecting(_ connection: PQConnection, _ deadline: NIODeadline) {
        guard NIODeadline.now() < deadline else { return lose("no answer within the time to connect") }
        switch connection.continueConnecting() {
        case .failed(let message):
            lose(message)
        case .connected:
            guard connection.enterPipeline() else { return lose(connection.errorMessage) }
            known = []
            retryDelay = configuration.firstRetryDelay
            state = .idle(connection)
            found()
            send(connection)
        case let progress:
            state = .connecting(connection, progress, deadline: deadline)
        }
    }

    private func found() {
        lostAt = nil
        if hasWarned || !hasReported { logger.info("connected to the database") }
        if isAway || !hasReported { reports.append(.availability(true)) }
        isAway = false
        hasWarned = false
        hasReported = true
    }

    /// The connection is gone, or could not be made.
    private func lose(_ reason: String) {
        if case .busy = state { settleLostTrip() }
        // One warning for each outage, however many attempts it takes.
        logger.log(
            level: hasWarned ? .debug : .warning,
            lostAt == nil ? "lost the connection to the database" : "cannot connect to the database",
            metadata: ["reason": "\(reason)"]
        )
        hasWarned = true
        lostAt = lostAt ?? .now()
        state = .away(until: .now() + retryDelay)
        retryDelay = min(retryDelay * 2, configuration.longestRetryDelay)
    }

    /// What was under way has an unknown outcome: it is sent again if that does no harm.
    private func settleLostTrip() {
        var again: [WorkUnit] = []
        for var unit in trip.units {
            unit.losses += 1
            if unit.isRepeatable, unit.losses < Self.maximumLosses {
                again.append(unit)
            } else {
                reports.append(.finished(unit, .failure(.unavailable)))
            }
        }
        trip = GroupTrip([], known: [])
        queue.putBackLost(again)
        judgeReturned()
    }

    /// Once the connection has been away for longer than the patience, what waits for it fails.
    private func checkPatience() {
        guard let lostAt, isAway || NIODeadline.now() - lostAt >= configuration.patience else { return }
        if !isAway {
            isAway = true
            reports.append(.availability(false))
        }
        failAll(queue.takeAll())
    }

    private func failAll(_ units: [WorkUnit]) {
        reports += units.map { .finished($0, .failure(.unavailable)) }
    }

    // MARK: Fences

    private func renew(_ fence: Fence) {
        epoch = fence.epoch
        isFenced = false
        if case .busy = state { missedFences.append(fence) }
        refuse(queue.judge(by: fence))
    }

    /// What was under way is back in the queue: new fences apply to it, too.
    private func judgeReturned() {
        for fence in missedFences { refuse(queue.judge(by: fence)) }
        missedFences = []
    }

    private func refuse(_ units: [WorkUnit]) {
        reports += units.map { .finished($0, .failure(.fenced)) }
    }

    /// The fence let nothing pass.
    private func stop(_ error: DatabaseError) {
        // Where not even the lock can be had, or the function is not there, another connection may do better.
        guard error == .fenced else { return lose("the fence failed: \(error)") }
        if missedFences.isEmpty {
            isFenced = true
            reports.append(.fenced)
        }
        queue.putBackLost(trip.units)
        judgeReturned()
    }

    // MARK: Groups

    private func send(_ connection: PQConnection) {
        guard !queue.isEmpty, !isFenced else { return }
        let group = queue.nextGroup()
        trip = GroupTrip(group, known: known, epoch: group.contains { $0.claim != nil } ? epoch : nil)
        state = .busy(connection, deadline: .now() + configuration.responseTimeout)
        for step in trip.steps {
            let isSent =
                switch step {
                case .prepare(let statement, _): connection.sendPrepare(statement)
                case .fence(let epoch): connection.sendQuery(.fence(epoch: epoch), encoder: &encoder)
                case .run(let unit, let request):
                    connection.sendQuery(trip.units[unit].requests[request], encoder: &encoder)
                }
            guard isSent else { return lose(connection.errorMessage) }
        }
        guard connection.sendSync() else { return lose(connection.errorMessage) }
    }

    private func receive(_ connection: PQConnection, _ deadline: NIODeadline) {
        guard NIODeadline.now() < deadline else { return lose("no answer within the time to respond") }
        // A failure to read is told by nextAnswer, behind what arrived before it.
        _ = connection.consumeInput()
        while true {
            switch connection.nextAnswer() {
            case .none: return
            case .result(let result): trip.resultReceived(result)
            case .failure(let error): trip.failureReceived(error)
            case .skipped: break
            case .end: trip.endReceived()
            case .lost(let reason): return lose(reason)
            case .synced:
                finishTrip()
                guard case .busy = state else { return }
                state = .idle(connection)
                return send(connection)
            }
        }
    }

    private func finishTrip() {
        known.formUnion(trip.prepared)
        switch trip.synced() {
        case .committed(let results):
            missedFences = []
            for (unit, results) in zip(trip.units, results) {
                reports.append(.finished(unit, .success(results)))
            }
        case .rolledBack(let culprit, let error):
            if trip.units.count == 1, let unit = trip.units.first {
                reports.append(.finished(unit, .failure(error)))
            } else {
                queue.putBack(trip.units, culprit: culprit)
            }
            judgeReturned()
        case .stopped(let error):
            stop(error)
        }
    }

    // MARK: Sleeping

    private func report() {
        guard !reports.isEmpty else { return }
        deliver(reports)
        reports = []
    }

    /// Waits for the socket, the mailbox or the next deadline.
    private func sleep() {
        var descriptors = [pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)]
        var wakeAt = closingDeadline ?? .distantFuture
        switch state {
        case .away(let until):
            wakeAt = min(wakeAt, until)
        case .connecting(let connection, let progress, let deadline):
            let events = progress == .waitingToWrite ? POLLOUT : POLLIN
            descriptors.append(pollfd(fd: connection.socket, events: Int16(events), revents: 0))
            wakeAt = min(wakeAt, deadline)
        case .idle(let connection):
            descriptors.append(pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0))
        case .busy(let connection, let deadline):
            let events = connection.flush() ? POLLIN : POLLIN | POLLOUT
            descriptors.append(pollfd(fd: connection.socket, events: Int16(events), revents: 0))
            wakeAt = min(wakeAt, deadline)
        }
        if let lostAt, !isAway { wakeAt = min(wakeAt, lostAt + configuration.patience) }
        _ = unsafe poll(&descriptors, nfds_t(descriptors.count), milliseconds(until: wakeAt))
    }

    private func milliseconds(until deadline: NIODeadline) -> Int32 {
        guard deadline != .distantFuture else { return -1 }
        return Int32(clamping: max(0, (deadline - .now()).nanoseconds + 999_999) / 1_000_000)
    }
}
