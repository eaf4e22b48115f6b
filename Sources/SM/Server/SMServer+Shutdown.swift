// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import Storage
import XMPPCore

/// The end of the process: what is in memory only goes to the database.
extension SMServer {
    /// What a departure has come to.
    struct Departure {
        /// Under which others own the users.
        let epoch: UInt64
        /// Messages that could not be written.
        let lost: Int
    }

    /// The process stops, and is no owner any more: what no client acknowledged and no row holds is written, rows that
    /// are acknowledged are deleted, and sessions without connection go to those who own their users next. Contacts are
    /// told nothing.
    func depart() -> EventLoopFuture<Departure> {
        stop()
        let epoch = map.epoch + 1
        releasedEpoch = 0
        map = OwnershipMap(epoch: epoch, instances: map.instances.filter { $0 != link.instanceName })
        takeover = nil
        failWaitingForFederation()
        // Not to the edges: the others do it when it is so.
        for instance in instances.keys where instance.isOwner { tellMap(to: instance) }
        let leaving = Array(users.all)
        for user in leaving { passOn(user, under: map) }
        users.stopLoading { _ in true }
        return write(lastWrites(of: leaving)).map { Departure(epoch: epoch, lost: $0) }
    }

    func tellReleased(under epoch: UInt64) {
        releasedEpoch = epoch
        for instance in instances.keys { tellReleased(to: instance) }
    }

    /// What there is to write of users who are given up.
    func lastWrites(of users: some Sequence<User>) -> Deque<LastWrite> {
        var writes: Deque<LastWrite> = []
        for user in users where !user.isRemoved {
            if !user.spool.doomed.isEmpty || user.spool.writes > 0 || !user.rosterChanges.isEmpty {
                // Also where nothing is to be deleted: it ends behind all that was asked for before.
                writes.append(.delete(Array(user.spool.doomed), of: user.jid))
            }
            guard configuration.sm.isEnabled(.offline) else { continue }
            writes.append(contentsOf: takeUnstored(of: user).map { .store($0, for: user.jid) })
        }
        return writes
    }

    /// Writes it; gives how many messages could not be written, each of which is told to `whenLost`.
    func write(_ writes: Deque<LastWrite>, whenLost: @escaping (Outgoing) -> Void = { _ in }) -> EventLoopFuture<Int> {
        let batch = LastWrites(writes, stores.spool, queueLength: configuration.database.queueLength, eventLoop)
        batch.whenLost = whenLost
        let logger = logger
        return batch.run().map { lost in
            if lost > 0 {
                logger.error("messages are lost, the database did not take them", metadata: ["count": "\(lost)"])
            }
            return lost
        }
    }

    /// Takes the messages for a user that are in memory and in no row.
    private func takeUnstored(of user: User) -> [Outgoing] {
        var left = user.spool.homeless
        user.spool.homeless = []
        for session in user.sessions {
            for entry in session.outbox.removeAll() {
                guard let delivery = entry.delivery else { continue }
                // One whose row is being written is written once more: the stable id keeps it from being two.
                let release = user.ledger.released(delivery)
                if release == .orphaned(row: nil) || release == .underWay { left.append(entry.payload) }
            }
        }
        // What another SM is to have in its place; the stable id keeps it from being two.
        for outgoing in user.spool.takeUnderWay() {
            outgoing.passage?.enterCustody()
            left.append(outgoing)
        }
        for passage in user.spool.waiting {
            let outgoing = Outgoing(
                stanza: passage.stanza,
                received: passage.received,
                stableID: passage.stableID,
                passage: passage
            )
            passage.enterCustody()
            passage.release()
            left.append(outgoing)
        }
        user.spool.waiting = []
        return left.filter { outgoing in
            if OfflinePolicy.isStored(outgoing.stanza) { return true }
            outgoing.passage?.leaveCustody()
            return false
        }
    }
}

/// One of the last writes.
enum LastWrite {
    case delete([Int64], of: BareJID)
    case store(Outgoing, for: BareJID)

    var size: Int {
        switch self {
        case .delete: 256
        case .store(let outgoing, _): outgoing.encodedSize
        }
    }

    func run(_ spool: any SpoolStorage) -> EventLoopFuture<Void> {
        switch self {
        case .delete(let rows, let user): spool.delete(rows, of: user).map { _ in }
        case .store(let outgoing, let user): spool.append(SpoolEntry(outgoing, for: user), quota: .max).map { _ in }
        }
    }

    /// It is in the database.
    func succeeded() {
        if case .store(let outgoing, _) = self { outgoing.passage?.leaveCustody() }
    }
}

/// Writes in groups, each after the one before it, so that the database's queue has room for them; what it refuses as
/// too much is tried again for a while.
private final class LastWrites {
    private static let groupBytes = 4 << 20
    private static let pause = TimeAmount.milliseconds(50)
    private static let tries = 100

    private var writes: Deque<LastWrite>
    private let spool: any SpoolStorage
    private let groupCount: Int
    private let eventLoop: any EventLoop
    private let promise: EventLoopPromise<Int>
    private var lost = 0
    var whenLost: (Outgoing) -> Void = { _ in }
    private var triesLeft = LastWrites.tries

    init(_ writes: Deque<LastWrite>, _ spool: any SpoolStorage, queueLength: Int, _ eventLoop: any EventLoop) {
        self.writes = writes
        self.spool = spool
        groupCount = min(500, max(1, queueLength / 4))
        self.eventLoop = eventLoop
        promise = eventLoop.makePromise()
    }

    func run() -> EventLoopFuture<Int> {
        next()
        return promise.futureResult
    }

    private func next() {
        var group: [LastWrite] = []
        var bytes = 0
        while group.count < groupCount, bytes < Self.groupBytes, let write = writes.popFirst() {
            group.append(write)
            bytes += write.size
        }
        guard !group.isEmpty else { return promise.succeed(lost) }
        EventLoopFuture.whenAllComplete(group.map { $0.run(spool) }, on: eventLoop).assumeIsolated().whenSuccess {
            self.ended(Array(zip(group, $0)))
        }
    }

    private func ended(_ results: [(LastWrite, Result<Void, any Error>)]) {
        var refused: [LastWrite] = []
        for case (let write, .success) in results { write.succeeded() }
        for case (let write, .failure(let error)) in results {
            if case DatabaseError.overloaded = error, triesLeft > 0 {
                refused.append(write)
            } else if case .store(let outgoing, _) = write {
                // What is in custody its sender has.
                if outgoing.passage == nil { lost += 1 }
                whenLost(outgoing)
            }
        }
        guard refused.count == results.count else {
            triesLeft = Self.tries
            writes.prepend(contentsOf: refused)
            return next()
        }
        triesLeft -= 1
        writes.prepend(contentsOf: refused)
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.next() }
    }
}
