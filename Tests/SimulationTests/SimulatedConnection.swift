// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import NIOCore
import NIOEmbedded
import Storage
import XMPPCore

@testable import SM

/// What one SM asks of the database: a queue of units for users, which the fence may stop, and one of the keeper's.
///
/// As the real one (`Storage/ConnectionWorker`): a unit whose connection is lost is asked again, a fence judges what
/// waits, and what waits for too long fails.
final class SimulatedConnection {
    private struct Unit {
        let user: BareJID
        var epoch: UInt64
        /// Takes effect; gives what tells the result.
        let run: () -> () -> Void
        let fail: (DatabaseError) -> Void
    }

    let database: SimulatedDatabase
    let loop: EmbeddedEventLoop
    private var units: Deque<Unit> = []
    private var control: Deque<(run: () -> () -> Void, fail: () -> Void)> = []
    /// What has taken effect and is not told.
    private var answers: Deque<() -> Void> = []
    private var epoch: UInt64 = 0
    /// The database has another epoch: nothing takes effect until it is renewed.
    private var isFenced = false
    /// What is asked for fails at once.
    private(set) var isAway = false
    var onFenced: () -> Void = {}
    private let link: SimulatedLink

    init(_ database: SimulatedDatabase, _ link: SimulatedLink, loop: EmbeddedEventLoop) {
        self.database = database
        self.link = link
        self.loop = loop
    }

    var isIdle: Bool { units.isEmpty && control.isEmpty && answers.isEmpty }

    func trace(_ line: () -> String) { link.network.trace { "\(self.link.instance.name): \(line())" } }

    // MARK: Asking

    func ask<Value: Sendable>(_ user: BareJID, _ body: @escaping () -> Value) -> EventLoopFuture<Value> {
        guard !isAway else { return loop.makeFailedFuture(DatabaseError.unavailable) }
        let promise = loop.makePromise(of: Value.self)
        units.append(
            Unit(user: user, epoch: epoch) {
                let value = body()
                return { promise.succeed(value) }
            } fail: {
                promise.fail($0)
            }
        )
        return promise.futureResult
    }

    func askControl<Value: Sendable>(_ body: @escaping () -> Value) -> EventLoopFuture<Value> {
        let promise = loop.makePromise(of: Value.self)
        let fail = { promise.fail(DatabaseError.unavailable) }
        let run = { [unowned self] in
            guard !database.isAway else { return fail }
            let value = body()
            return { promise.succeed(value) }
        }
        control.append((run: run, fail: fail))
        return promise.futureResult
    }

    func renewFence(epoch: UInt64, keeping isOurs: (BareJID) -> Bool) {
        guard epoch > self.epoch else { return }
        self.epoch = epoch
        isFenced = false
        var kept: Deque<Unit> = []
        for var unit in units {
            if unit.epoch < epoch {
                guard isOurs(unit.user) else {
                    answers.append { unit.fail(.fenced) }
                    continue
                }
                unit.epoch = epoch
            }
            kept.append(unit)
        }
        units = kept
    }

    // MARK: What happens

    /// One thing takes effect; false if there is none that can.
    func execute() -> Bool {
        if let next = control.popFirst() {
            answers.append(next.run())
            return true
        }
        guard !database.isAway, !isFenced, let unit = units.first else { return false }
        guard epoch == database.epoch || epoch == 0 || database.mutation == .nothingIsFenced else {
            isFenced = true
            answers.append { [unowned self] in onFenced() }
            return true
        }
        units.removeFirst()
        answers.append(unit.run())
        return true
    }

    /// One answer is told; false if there is none.
    func answer() -> Bool {
        guard let next = answers.popFirst() else { return false }
        next()
        return true
    }

    /// The connection breaks with the first unit under way: it may have taken effect, and is asked again.
    func breaks(afterEffect: Bool) {
        guard afterEffect, !isFenced, epoch == database.epoch, let unit = units.first else { return }
        _ = unit.run()
    }

    /// The database has been away for longer than the patience.
    func losePatience() {
        isAway = true
        while let unit = units.popFirst() { answers.append { unit.fail(.unavailable) } }
    }

    func isBack() { isAway = false }

    /// The process is gone; some of what it asked for may take effect.
    func drop(afterUnits count: Int) {
        for unit in units.prefix(count) where !database.isAway && epoch == database.epoch { _ = unit.run() }
        abandon()
    }

    /// Nobody hears any answer.
    func abandon() {
        // NIO does not let go of a promise that is not kept.
        while let unit = units.popFirst() { unit.fail(.unavailable) }
        while let next = control.popFirst() { next.fail() }
        while let answer = answers.popFirst() { answer() }
    }
}

/// The keeper's way to the database.
struct SimulatedOwnership: OwnershipStorage {
    let connection: SimulatedConnection

    func join(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipMap> {
        connection.askControl { connection.database.join(member, known: known) }
    }
    func leave(_ member: OwnershipMember) -> EventLoopFuture<Void> {
        connection.askControl { connection.database.leave(member) }
    }
    func beat(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipReading> {
        connection.askControl { connection.database.beat(member, known: known) }
    }
    func evict(_ peers: [OwnershipPeer]) -> EventLoopFuture<Void> {
        connection.askControl { connection.database.evict(peers) }
    }
}

/// An SM's way to the records of sessions, past the fence of users: each batch brings its own.
struct SimulatedRecords: SessionRecordStorage {
    let connection: SimulatedConnection

    func write(_ batch: SessionRecordBatch, by author: SessionRecordAuthor) -> EventLoopFuture<Bool> {
        let written = connection.askControl { connection.database.write(batch, by: author) }
        return written.assumeIsolated().flatMapThrowing { try $0.get() }.nonisolated()
    }
    func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]> {
        connection.askControl { connection.database.records(after: name, limit: limit) }
    }
    func authors() -> EventLoopFuture<[SessionRecordAuthor]> {
        connection.askControl { connection.database.recordAuthors }
    }
}
