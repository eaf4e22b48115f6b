// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import Storage
import XMPPCore

/// Writes the changes of sessions to the database: together, 250 ms after the first of them or when they fill a batch, so
/// that a session that comes and goes in between costs nothing.
///
/// After a crash of PostgreSQL the table is empty. So each batch, and at least one each 5 s, asks whether the note of this
/// incarnation is still there; if not, it writes all live sessions again, and the note with the last of them.
///
/// Confined to its event loop.
final class SessionRecordWriter {
    struct Limits {
        var interval = TimeAmount.milliseconds(250)
        var longestSilence = TimeAmount.seconds(5)
        var retryDelay = TimeAmount.seconds(1)
        /// What waits to be written, in bytes; beyond it changes are dropped, and made up for later.
        var queuedBytes = 32 * 1024 * 1024
        var batchCount = 1000
        var batchBytes = 1024 * 1024
    }

    /// Gives the records of all live sessions; asked when they have to be written again.
    var liveSessions: () -> [SessionRecord] = { [] }

    private let author: SessionRecordAuthor
    private let store: any SessionRecordStorage
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let limits: Limits
    private var queue: SessionRecordQueue
    private var epoch: UInt64 = 0
    /// All live sessions are in the table.
    private var isComplete = false
    private var isWriting = false
    private var isFenced = false
    private var hasWarned = false
    private var hasDropped = false
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var stopping: EventLoopPromise<Void>?
    /// Who wants to know when a session's last change is written.
    private var waiting: [String: (user: BareJID, body: () -> Void)] = [:]

    init(
        _ author: SessionRecordAuthor,
        store: any SessionRecordStorage,
        eventLoop: any EventLoop,
        logger: Logger,
        limits: Limits = Limits()
    ) {
        self.author = author
        self.store = store
        self.eventLoop = eventLoop
        self.logger = logger
        self.limits = limits
        queue = SessionRecordQueue(maximumWeight: limits.queuedBytes)
    }

    // MARK: Changes

    /// Begins to write: first of all the note that this incarnation writes.
    func start() { wakeUp(at: eventLoop.now) }

    /// A session began.
    func opened(_ record: SessionRecord) {
        queue.opened(record)
        changed()
    }

    /// A session was attached, detached, resumed, or its state changed: this is how it is now.
    func changed(_ record: SessionRecord) {
        queue.changed(record)
        changed()
    }

    /// A session is over.
    func ended(_ name: String, of user: BareJID) {
        queue.ended(name, of: user)
        changed()
    }

    /// Calls when the last change of the session is in the database, at once if it is. At most one waits for a session.
    func whenWritten(_ name: String, of user: BareJID, _ body: @escaping () -> Void) {
        guard queue.waits(name) else { return body() }
        waiting[name] = (user: user, body: body)
    }

    private func tellWritten() {
        let due = waiting.filter { !queue.waits($0.key) }
        for (name, each) in due {
            waiting[name] = nil
            each.body()
        }
    }

    /// A page of the records of all instances, in the order of their names.
    func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]> {
        store.load(after: name, limit: limit)
    }

    /// All live sessions are written again.
    func rewrite() {
        isComplete = false
        queue.add(all: liveSessions())
        changed()
    }

    /// From now on batches take effect under this epoch only; what was to be written for users of others is forgotten.
    func renewFence(epoch: UInt64, keeping isOurs: (BareJID) -> Bool) {
        guard epoch > self.epoch else { return }
        self.epoch = epoch
        isFenced = false
        queue.keep(isOurs)
        waiting = waiting.filter { isOurs($0.value.user) }
        changed()
    }

    /// Writes what there is, and ends. Completes also where that does not work.
    func stop() -> EventLoopFuture<Void> {
        if let stopping { return stopping.futureResult }
        let promise = eventLoop.makePromise(of: Void.self)
        stopping = promise
        timer?.cancel()
        if !isWriting { write() }
        return promise.futureResult
    }

    // MARK: Batches

    private func changed() {
        if queue.isIncomplete, !hasDropped {
            logger.warning("session records are not written as fast as sessions change: some are left out for now")
        }
        hasDropped = queue.isIncomplete
        schedule()
    }

    private func schedule() {
        guard !isWriting, !isFenced, stopping == nil else { return }
        let isWaiting = queue.count > 0 || queue.isIncomplete || !isComplete
        let isBatch = queue.count >= limits.batchCount
        let delay = isBatch ? .zero : isWaiting ? limits.interval : limits.longestSilence
        wakeUp(at: eventLoop.now + delay)
    }

    /// An earlier wish stands.
    private func wakeUp(at deadline: NIODeadline) {
        guard deadline < timerDeadline else { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            guard let self else { return }
            timerDeadline = .distantFuture
            if !isWriting, !isFenced, stopping == nil { write() }
        }
    }

    private func write() {
        if queue.count == 0, queue.isIncomplete { queue.add(all: liveSessions()) }
        var batch = queue.takeBatch(maximumCount: limits.batchCount, maximumWeight: limits.batchBytes)
        batch.completes = !isComplete && queue.count == 0 && !queue.isIncomplete
        batch.epoch = epoch
        isWriting = true
        store.write(batch, by: author).assumeIsolated().whenComplete { result in
            self.isWriting = false
            switch result {
            case .success(let wasComplete): self.written(batch, wasComplete: wasComplete)
            case .failure(let error): self.failed(batch, error)
            }
        }
    }

    private func written(_ batch: SessionRecordBatch, wasComplete: Bool) {
        queue.written()
        hasWarned = false
        if isComplete, !wasComplete {
            logger.warning("the session records are gone, as after a crash of the database: writing them again")
            isComplete = false
            queue.add(all: liveSessions())
        }
        isComplete = isComplete || batch.completes
        tellWritten()
        guard let stopping else { return schedule() }
        if queue.count > 0 { write() } else { stopping.succeed() }
    }

    private func failed(_ batch: SessionRecordBatch, _ error: any Error) {
        switch error as? DatabaseError {
        case .fenced:
            // Unless it was renewed meanwhile, whoever set the epoch renews it.
            isFenced = batch.epoch >= epoch
            queue.failed()
        case .unavailable, .overloaded:
            warn("cannot write session records yet", error)
            queue.failed()
        default:
            // What PostgreSQL refuses once it refuses again.
            warn("some session records are left out", error)
            queue.written()
            tellWritten()
        }
        if let stopping { return stopping.succeed() }
        if !isFenced { wakeUp(at: eventLoop.now + limits.retryDelay) }
    }

    /// One warning until it works again.
    private func warn(_ message: Logger.Message, _ error: any Error) {
        logger.log(level: hasWarned ? .debug : .warning, message, metadata: ["reason": "\(error)"])
        hasWarned = true
    }
}

extension SessionRecordWriter: SessionRecording {}
