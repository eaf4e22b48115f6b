// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore

/// A process's connections to PostgreSQL.
///
/// Confined to its event loop: all calls are made there and all answers arrive there. Each connection is driven by a
/// thread of its own (``ConnectionWorker``); what is asked for within one turn of the loop is handed over at once, and
/// answers come back in batches.
///
/// *Group commit*: what waits in a connection's queue is sent together and shares one transaction and so one fsync.
/// When a member fails, nothing of the group is kept: the others run again without it, and it runs alone; so each
/// request succeeds or fails as if it had been alone, in the order of the requests.
///
/// *Fence*: once there is an epoch (``renewFence(epoch:keeping:)``), each group with writes for users takes effect only
/// while that is the epoch in PostgreSQL. After that nothing of it is sent until there is a new one.
///
/// *Away*: a lost connection is made again with a growing delay. Requests wait up to
/// ``DatabaseConfiguration/patience`` for it, then fail with ``DatabaseError/unavailable``, and so do later ones at
/// once. What was sent when the connection broke is sent again if it is repeatable (``Statement/isRepeatable``), else
/// it fails the same way: its outcome is unknown.
package final class Database {
    package let configuration: DatabaseConfiguration
    package let eventLoop: any EventLoop
    private let logger: Logger
    /// The reading connections, then the writing ones.
    private var connections: [ConnectionPort] = []
    private var isStarted = false
    private(set) var isClosing = false
    private var isFlushScheduled = false
    private var observers: [(Bool) -> Void] = []
    private var shutdownPromise: EventLoopPromise<Void>?
    private var fence: Fence?
    private var fenceObservers: [() -> Void] = []

    package init(configuration: DatabaseConfiguration, eventLoop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
    }

    /// Starts the threads; connections are made in the background.
    package func start() {
        eventLoop.preconditionInEventLoop()
        guard !isStarted else { return }
        isStarted = true
        for index in 0..<(configuration.readConnections + configuration.writeConnections) {
            startConnection(index)
        }
    }

    /// Whether all connections are up, or have been lost for less than the patience.
    package private(set) var isAvailable = false

    /// Calls back, on the loop, whenever ``isAvailable`` changes, up to ``shutdown()``.
    package func onAvailabilityChange(_ callback: @escaping (Bool) -> Void) {
        observers.append(callback)
    }

    // MARK: Fence

    /// The epoch under which writes for users take effect; 0 while there is no fence.
    package var epoch: UInt64 { fence?.epoch ?? 0 }

    /// Sets a fence, for what was asked for as well. See ``renewFence(epoch:keeping:)``.
    package func fence(epoch: UInt64) {
        renewFence(epoch: epoch) { _ in true }
    }

    /// From now on writes for users (``Lane/write(_:)``) take effect only while the epoch in PostgreSQL is this one.
    ///
    /// What was asked for under an older epoch, and has no result yet, goes on under this one, in order, if `keeping` says
    /// that the user (a bare JID, or whatever the lane's key is) is still ours; else it fails with
    /// ``DatabaseError/fenced`` and has changed nothing, unless a connection was lost under it. An epoch that is not
    /// newer changes nothing. `keeping` is called on the connections' threads.
    package func renewFence(epoch: UInt64, keeping: @escaping @Sendable (String) -> Bool) {
        eventLoop.assertInEventLoop()
        guard epoch > self.epoch else { return }
        flush()
        let fence = Fence(epoch: epoch, keeps: keeping)
        self.fence = fence
        for port in connections.dropFirst(configuration.readConnections) { port.mailbox?.put(fence) }
    }

    /// Calls back, on the loop, when PostgreSQL was found to have another epoch. Requests then wait, up to the bounds of
    /// the queue, for a newer fence.
    package func onFenced(_ callback: @escaping () -> Void) {
        fenceObservers.append(callback)
    }

    // MARK: Requests

    /// Runs one statement and gives its rows.
    package func query(_ statement: Statement, _ values: [DatabaseValue] = [], on lane: Lane) -> EventLoopFuture<[Row]>
    {
        transaction([Request(statement, values)], on: lane).map { $0.first?.rows ?? [] }
    }

    /// Runs one statement and gives the number of rows that it changed.
    package func execute(_ statement: Statement, _ values: [DatabaseValue] = [], on lane: Lane) -> EventLoopFuture<Int>
    {
        transaction([Request(statement, values)], on: lane).map { $0.first?.affected ?? 0 }
    }

    /// Runs requests that do not depend on each other: each succeeds or fails alone, in order.
    package func write(_ requests: [Request], on lane: Lane) -> [EventLoopFuture<StatementResult>] {
        requests.map { request in
            transaction([request], on: lane).map { $0.first ?? StatementResult(rows: [], affected: 0) }
        }
    }

    /// Runs the requests in order and atomically: either all take effect or none.
    package func transaction(_ requests: [Request], on lane: Lane) -> EventLoopFuture<[StatementResult]> {
        eventLoop.assertInEventLoop()
        if requests.isEmpty { return eventLoop.makeSucceededFuture([]) }
        if requests.contains(where: \.holdsNUL) {
            let error = DatabaseError.failed(sqlstate: "22021", message: "a text holds the character NUL")
            return eventLoop.makeFailedFuture(error)
        }
        guard !isClosing, let port = port(for: lane), !port.isAway else {
            return eventLoop.makeFailedFuture(DatabaseError.unavailable)
        }
        let weight = requests.reduce(0) { sum, request in request.values.reduce(sum + 128) { $0 + $1.weight } }
        guard port.requests < configuration.queuedRequests, port.bytes + weight <= configuration.queuedBytes else {
            return eventLoop.makeFailedFuture(DatabaseError.overloaded)
        }
        let unit = WorkUnit(
            requests: requests,
            promise: eventLoop.makePromise(),
            weight: weight,
            isRepeatable: lane == .read || requests.allSatisfy(\.statement.isRepeatable),
            claim: claim(for: lane)
        )
        port.add(unit)
        scheduleFlush()
        return unit.promise.futureResult
    }

    private func claim(for lane: Lane) -> OwnerClaim? {
        guard case .write(let key) = lane else { return nil }
        return OwnerClaim(user: key, epoch: epoch)
    }

    /// The reading connection with the least to do, or the writing one that the key selects.
    private func port(for lane: Lane) -> ConnectionPort? {
        switch lane {
        case .read:
            return connections.prefix(configuration.readConnections).min { $0.requests < $1.requests }
        case .write(let key), .anyEpoch(let key):
            guard configuration.writeConnections > 0 else { return nil }
            let index = Int(UInt(bitPattern: key.hashValue) % UInt(configuration.writeConnections))
            return connections.dropFirst(configuration.readConnections).dropFirst(index).first
        }
    }

    /// Hands over, at the end of this turn of the loop, what was asked for in it.
    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        let database = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { database.value.flush() }
    }

    private func flush() {
        isFlushScheduled = false
        for port in connections { port.flush() }
    }

    // MARK: Connections

    private func startConnection(_ index: Int) {
        var logger = logger
        logger[metadataKey: "connection"] = "\(index + 1)"
        let loop = eventLoop
        let database = NIOLoopBound(self, eventLoop: eventLoop)
        let configuration = configuration
        do {
            let mailbox = try Mailbox()
            if let fence, index >= configuration.readConnections { mailbox.put(fence) }
            let deliver: @Sendable ([WorkerReport]) -> Void = { reports in
                loop.execute { database.value.receive(reports, from: index) }
            }
            let isRunning = startThread { [logger] in
                ConnectionWorker(configuration, mailbox: mailbox, logger: logger, deliver: deliver).run()
            }
            connections.append(ConnectionPort(mailbox: isRunning ? mailbox : nil))
        } catch {
            logger.error("cannot start a connection's thread", metadata: ["reason": "\(error)"])
            connections.append(ConnectionPort(mailbox: nil))
        }
    }

    private func receive(_ reports: [WorkerReport], from index: Int) {
        guard connections.indices.contains(index) else { return }
        let port = connections[index]
        for report in reports {
            switch report {
            case .finished(let unit, let result):
                port.finished(unit)
                unit.promise.completeWith(result.mapError { $0 as any Error })
            case .availability(let isUp):
                port.isAway = !isUp
                port.hasBeenUp = port.hasBeenUp || isUp
                updateAvailability()
            case .fenced:
                for observer in fenceObservers { observer() }
            case .ended:
                port.hasEnded = true
                if isClosing, connections.allSatisfy(\.hasEnded) { shutdownPromise?.succeed() }
            }
        }
    }

    private func updateAvailability() {
        let isAvailable = connections.allSatisfy { $0.hasBeenUp && !$0.isAway }
        guard !isClosing, isAvailable != self.isAvailable else { return }
        self.isAvailable = isAvailable
        for observer in observers { observer(isAvailable) }
    }

    /// Runs what is queued, within ``DatabaseConfiguration/shutdownTimeout``, and ends the threads. Later requests
    /// fail with ``DatabaseError/unavailable``.
    package func shutdown() -> EventLoopFuture<Void> {
        if let shutdownPromise { return shutdownPromise.futureResult }
        let promise = eventLoop.makePromise(of: Void.self)
        shutdownPromise = promise
        flush()
        isClosing = true
        isAvailable = false
        for port in connections { port.mailbox?.closeWhenDone() }
        if connections.allSatisfy(\.hasEnded) { promise.succeed() }
        return promise.futureResult
    }
}

/// The loop's end of a connection.
private final class ConnectionPort {
    /// Nil if the thread could not be started.
    let mailbox: Mailbox?
    /// What was asked for in this turn of the loop.
    private var pending: [WorkUnit] = []
    /// What was asked for and not answered.
    private(set) var requests = 0
    private(set) var bytes = 0
    var isAway: Bool
    var hasBeenUp = false
    var hasEnded: Bool

    init(mailbox: Mailbox?) {
        self.mailbox = mailbox
        isAway = mailbox == nil
        hasEnded = mailbox == nil
    }

    func add(_ unit: WorkUnit) {
        requests += unit.requests.count
        bytes += unit.weight
        pending.append(unit)
    }

    func flush() {
        guard !pending.isEmpty else { return }
        mailbox?.put(pending)
        pending = []
    }

    func finished(_ unit: WorkUnit) {
        requests -= unit.requests.count
        bytes -= unit.weight
    }
}

extension Request {
    /// PostgreSQL's texts can not hold NUL, and libpq would cut them there.
    fileprivate var holdsNUL: Bool {
        values.contains { value in
            switch value {
            case .text(let text): text.utf8.contains(0)
            case .texts(let texts): texts.contains { $0.utf8.contains(0) }
            case .null, .int, .bool, .bytes, .buffer: false
            }
        }
    }
}
