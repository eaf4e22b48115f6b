// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOEmbedded
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

/// The queue and the writer of session records, without a database.
@Suite struct SessionRecordTests {
    static func record(_ name: String, attach: UInt64 = 1, user: BareJID = StoreFixture.juliet) -> SessionRecord {
        SessionRecord(
            name: name,
            user: user,
            resource: "balcony",
            resumptionSeconds: 0,
            instance: "c2s-1.jackdaw.internal",
            attach: attach,
            settledRun: 0,
            countsFrom: 0
        )
    }

    /// The value in a box: an expectation can not change a variable.
    private final class Queue {
        var queue: SessionRecordQueue
        init(_ maximumWeight: Int = 1_000_000) { queue = SessionRecordQueue(maximumWeight: maximumWeight) }

        func take(_ count: Int = 100, _ weight: Int = 1_000_000) -> SessionRecordBatch {
            queue.takeBatch(maximumCount: count, maximumWeight: weight)
        }
    }

    private func batch(_ records: [SessionRecord], _ ended: [String] = []) -> SessionRecordBatch {
        SessionRecordBatch(records: records, ended: ended)
    }

    @Test("The last change of a session counts, and one that came and went costs nothing")
    func merging() {
        let queue = Queue()
        queue.queue.opened(Self.record("a"))
        queue.queue.opened(Self.record("b"))
        queue.queue.changed(Self.record("a", attach: 2))
        queue.queue.changed(Self.record("b", attach: 2))
        queue.queue.ended("b", of: StoreFixture.juliet)
        queue.queue.changed(Self.record("c"))
        queue.queue.ended("c", of: StoreFixture.juliet)
        #expect(queue.queue.count == 2)
        #expect(queue.take() == batch([Self.record("a", attach: 2)], ["c"]))
        #expect(queue.queue.count == 0)
        // While it is being written it is not new any more.
        queue.queue.ended("a", of: StoreFixture.juliet)
        queue.queue.written()
        #expect(queue.take() == batch([], ["a"]))
    }

    @Test("Batches are bounded, in order, and never empty")
    func batches() {
        let queue = Queue()
        for name in ["a", "b", "c", "d", "e"] { queue.queue.opened(Self.record(name)) }
        queue.queue.ended("b", of: StoreFixture.juliet)
        #expect(queue.take(2) == batch([Self.record("a"), Self.record("c")]))
        queue.queue.written()
        #expect(queue.take(2, 1) == batch([Self.record("d")]))
        queue.queue.written()
        #expect(queue.take() == batch([Self.record("e")]))
        queue.queue.written()
        #expect(queue.take() == batch([]))
    }

    @Test("A batch that failed comes again, but for what changed since")
    func failure() {
        let queue = Queue()
        for name in ["a", "b", "c"] { queue.queue.opened(Self.record(name)) }
        queue.queue.changed(Self.record("d"))
        queue.queue.ended("d", of: StoreFixture.juliet)
        _ = queue.take()
        queue.queue.changed(Self.record("b", attach: 2))
        queue.queue.ended("c", of: StoreFixture.juliet)
        queue.queue.opened(Self.record("x"))
        queue.queue.failed()
        #expect(queue.queue.count == 5)
        #expect(
            queue.take()
                == batch([Self.record("a"), Self.record("b", attach: 2), Self.record("x")], ["d", "c"])
        )
    }

    @Test("At the bound changes are dropped, and all live sessions fill the gap later")
    func bound() {
        let weight = Self.record("a").weight
        let queue = Queue(2 * weight)
        for name in ["a", "b", "c"] { queue.queue.opened(Self.record(name)) }
        // What has a place keeps it.
        queue.queue.changed(Self.record("b", attach: 2))
        #expect(queue.queue.isIncomplete)
        #expect(queue.take() == batch([Self.record("a"), Self.record("b", attach: 2)]))
        queue.queue.written()
        queue.queue.changed(Self.record("a", attach: 3))
        queue.queue.add(all: ["a", "b", "c"].map { Self.record($0, attach: 4) })
        #expect(!queue.queue.isIncomplete)
        let all = [Self.record("a", attach: 3), Self.record("b", attach: 4), Self.record("c", attach: 4)]
        #expect(queue.take() == batch(all))
        queue.queue.written()
        queue.queue.opened(Self.record("d"))
        #expect(!queue.queue.isIncomplete)
    }

    @Test("What belongs to others is forgotten, also from a batch that comes back")
    func fence() {
        let queue = Queue()
        queue.queue.opened(Self.record("a"))
        queue.queue.opened(Self.record("b", user: StoreFixture.romeo))
        _ = queue.take()
        queue.queue.opened(Self.record("c"))
        queue.queue.ended("d", of: StoreFixture.juliet)
        queue.queue.changed(Self.record("e", user: StoreFixture.romeo))
        queue.queue.keep { $0 == StoreFixture.romeo }
        queue.queue.failed()
        #expect(queue.queue.count == 2)
        let left = ["b", "e"].map { Self.record($0, user: StoreFixture.romeo) }
        #expect(queue.take() == batch(left))
    }

    // MARK: Writer

    /// A store that answers when it is told to.
    private final class FakeStore: SessionRecordStorage {
        let loop: EmbeddedEventLoop
        var batches: [SessionRecordBatch] = []
        private var promise: EventLoopPromise<Bool>?

        init(_ loop: EmbeddedEventLoop) { self.loop = loop }

        func write(_ batch: SessionRecordBatch, by author: SessionRecordAuthor) -> EventLoopFuture<Bool> {
            batches.append(batch)
            let promise = loop.makePromise(of: Bool.self)
            self.promise = promise
            return promise.futureResult
        }

        func load(after name: String, limit: Int) -> EventLoopFuture<[SessionRecord]> { loop.makeSucceededFuture([]) }
        func authors() -> EventLoopFuture<[SessionRecordAuthor]> { loop.makeSucceededFuture([]) }

        func answer(_ result: Result<Bool, any Error>) {
            let promise = promise
            self.promise = nil
            promise?.completeWith(result)
        }
    }

    private struct World {
        let loop = EmbeddedEventLoop()
        let store: FakeStore
        let writer: SessionRecordWriter

        init() {
            store = FakeStore(loop)
            var logger = Logger(label: "records")
            logger.logLevel = .critical
            let author = SessionRecordAuthor(instance: "sm-1.jackdaw.internal", incarnation: "x")
            writer = SessionRecordWriter(author, store: store, eventLoop: loop, logger: logger)
        }

        /// The batches that were sent in so many milliseconds.
        func after(_ milliseconds: Int64) -> [SessionRecordBatch] {
            let count = store.batches.count
            loop.advanceTime(by: .milliseconds(milliseconds))
            return Array(store.batches.dropFirst(count))
        }

        /// Started, with its note in the table.
        static func running() -> World {
            let world = World()
            world.writer.start()
            _ = world.after(0)
            world.store.answer(.success(false))
            return world
        }
    }

    private func complete(_ records: [SessionRecord]) -> SessionRecordBatch {
        SessionRecordBatch(records: records, completes: true)
    }

    @Test("Changes are written together, 250 ms after the first; a batch under way is waited for")
    func writing() {
        let world = World()
        world.writer.start()
        #expect(world.after(0) == [complete([])])
        world.writer.opened(Self.record("a"))
        #expect(world.after(1000) == [])
        world.store.answer(.success(false))
        #expect(world.after(249) == [])
        world.writer.opened(Self.record("b"))
        #expect(world.after(1) == [batch([Self.record("a"), Self.record("b")])])
        world.store.answer(.success(true))
        // Nothing to write: it asks whether all is still there.
        #expect(world.after(4_999) == [])
        #expect(world.after(1) == [batch([])])
    }

    @Test("Where its note is gone all live sessions are written again, and the note with the last of them")
    func emptied() {
        let world = World.running()
        let live = (0..<1500).map { Self.record("\($0)") }
        world.writer.liveSessions = { live }
        #expect(world.after(5_000) == [batch([])])
        world.store.answer(.success(false))
        #expect(world.after(0) == [batch(Array(live.prefix(1000)))])
        world.store.answer(.success(false))
        #expect(world.after(250) == [complete(Array(live.dropFirst(1000)))])
        world.store.answer(.success(false))
        #expect(world.after(5_000) == [batch([])])
    }

    @Test("A database that is away is tried again; what it refuses is left out")
    func failures() {
        let world = World.running()
        world.writer.opened(Self.record("a"))
        #expect(world.after(250) == [batch([Self.record("a")])])
        world.store.answer(.failure(DatabaseError.unavailable))
        #expect(world.after(999) == [])
        #expect(world.after(1) == [batch([Self.record("a")])])
        world.store.answer(.failure(DatabaseError.failed(sqlstate: "22000", message: "")))
        #expect(world.after(1000) == [batch([])])
    }

    @Test("Under another epoch it waits for its fence, and writes then what is still ours")
    func fenced() {
        let world = World.running()
        world.writer.renewFence(epoch: 1) { _ in true }
        world.writer.opened(Self.record("a"))
        world.writer.opened(Self.record("b", user: StoreFixture.romeo))
        var expected = batch([Self.record("a"), Self.record("b", user: StoreFixture.romeo)])
        expected.epoch = 1
        #expect(world.after(250) == [expected])
        world.store.answer(.failure(DatabaseError.fenced))
        world.writer.opened(Self.record("c", user: StoreFixture.romeo))
        #expect(world.after(60_000) == [])
        world.writer.renewFence(epoch: 2) { $0 == StoreFixture.juliet }
        expected = batch([Self.record("a")])
        expected.epoch = 2
        #expect(world.after(250) == [expected])
        // Renewed while the answer is on its way.
        world.writer.renewFence(epoch: 3) { _ in true }
        world.store.answer(.failure(DatabaseError.fenced))
        expected.epoch = 3
        #expect(world.after(1000) == [expected])
    }

    @Test("Who waits for a change is told when it is written, at once if it is, and never where it is another's")
    func whenWritten() {
        let world = World.running()
        var told: [String] = []
        world.writer.whenWritten("a", of: StoreFixture.juliet) { told.append("nothing to write") }
        #expect(told == ["nothing to write"])
        world.writer.opened(Self.record("a"))
        world.writer.whenWritten("a", of: StoreFixture.juliet) { told.append("a") }
        _ = world.after(250)
        // It changes while it is being written.
        world.writer.changed(Self.record("a", attach: 2))
        world.store.answer(.success(true))
        #expect(told.count == 1)
        _ = world.after(250)
        world.store.answer(.failure(DatabaseError.unavailable))
        #expect(told.count == 1)
        _ = world.after(1000)
        world.store.answer(.success(true))
        #expect(told == ["nothing to write", "a"])
        world.writer.changed(Self.record("a", attach: 3))
        world.writer.whenWritten("a", of: StoreFixture.juliet) { told.append("of another owner") }
        world.writer.renewFence(epoch: 2) { _ in false }
        _ = world.after(250)
        world.store.answer(.success(true))
        #expect(told.count == 2)
    }

    @Test("Stopping writes what there is")
    func stopping() throws {
        let world = World.running()
        world.writer.opened(Self.record("a"))
        _ = world.after(250)
        world.writer.ended("a", of: StoreFixture.juliet)
        let stopped = world.writer.stop()
        world.store.answer(.success(true))
        #expect(world.store.batches.last == batch([], ["a"]))
        world.store.answer(.success(true))
        try stopped.wait()
        #expect(world.after(10_000) == [])
    }
}
