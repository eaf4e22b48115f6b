// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import SM

@Suite struct SessionOutboxTests {
    private func outbox(count: Int = 100, bytes: Int = 10_000, window: Int = 10_000) -> SessionOutbox<Int> {
        SessionOutbox(maximumCount: count, maximumBytes: bytes, window: window)
    }

    /// Takes what may be sent now.
    private func drain(_ outbox: inout SessionOutbox<Int>) -> [(number: UInt64?, payload: Int)] {
        var sent: [(number: UInt64?, payload: Int)] = []
        while let (number, entry) = outbox.next() { sent.append((number: number, payload: entry.payload)) }
        return sent
    }

    @Test("Without XEP-0198 only messages are kept, until the client sends something")
    func uncounted() {
        var outbox = outbox()
        #expect(outbox.append(1, delivery: nil, size: 10) == .sendUnnumbered)
        #expect(outbox.append(2, delivery: DeliveryID(value: 2), size: 10) == .sendUnnumbered)
        #expect(outbox.entries.map(\.payload) == [2])
        #expect(outbox.acknowledge(1) == nil)
        #expect(outbox.acknowledgeAll().map(\.payload) == [2])
        #expect(outbox.bytes == 0)
    }

    @Test("With XEP-0198 everything is numbered from 1 and leaves by h")
    func counted() {
        var outbox = outbox()
        _ = outbox.append(0, delivery: DeliveryID(value: 1), size: 10)
        #expect(outbox.startCounting().map(\.payload) == [0])
        for number in 1...5 {
            #expect(outbox.append(number, delivery: nil, size: 10) == .send(number: UInt64(number)))
        }
        #expect(outbox.acknowledge(3)?.map(\.payload) == [1, 2, 3])
        #expect(outbox.acknowledge(3)?.isEmpty == true)
        #expect(outbox.acknowledge(2) == nil)
        #expect(outbox.acknowledge(6) == nil)
        #expect(outbox.acknowledgeAll().isEmpty)
        #expect(outbox.entries.map(\.payload) == [4, 5])
        #expect(outbox.bytes == 20)
    }

    @Test("What is queued while detached cannot be acknowledged, and follows the unacknowledged at the resumption")
    func detached() {
        var outbox = outbox()
        _ = outbox.startCounting()
        for number in 1...3 { _ = outbox.append(number, delivery: nil, size: 1) }
        outbox.detached()
        #expect(outbox.append(4, delivery: nil, size: 1) == .queued)
        #expect(outbox.acknowledge(4) == nil)
        #expect(outbox.acknowledge(2)?.count == 2)
        #expect(outbox.next() == nil)
        outbox.attached()
        #expect(outbox.append(5, delivery: nil, size: 1) == .queued)
        #expect(outbox.acknowledge(3) == nil)
        #expect(drain(&outbox).map(\.number) == [3, 4, 5])
        #expect(outbox.append(6, delivery: nil, size: 1) == .send(number: 6))
        #expect(outbox.acknowledge(6)?.map(\.payload) == [3, 4, 5, 6])
    }

    @Test("At the bound of stanzas or bytes nothing is taken; an empty outbox takes anything")
    func bounds() {
        var outbox = outbox(count: 2, bytes: 100)
        _ = outbox.startCounting()
        #expect(outbox.append(1, delivery: nil, size: 1_000) == .send(number: 1))
        #expect(outbox.append(2, delivery: nil, size: 1) == .full)
        _ = outbox.acknowledge(1)
        #expect(outbox.append(2, delivery: nil, size: 1) == .send(number: 2))
        #expect(outbox.append(3, delivery: nil, size: 1) == .send(number: 3))
        #expect(outbox.append(4, delivery: nil, size: 1) == .full)
        #expect(outbox.entries.count == 2)
    }

    @Test("What is held back, or beyond the window, waits in order; an acknowledgement opens the window")
    func window() {
        var outbox = outbox(window: 100)
        _ = outbox.startCounting()
        #expect(outbox.append(1, delivery: nil, size: 60, isHeld: true) == .queued)
        #expect(outbox.append(2, delivery: nil, size: 60) == .queued)
        #expect(outbox.isBusy && outbox.hasNext)
        #expect(outbox.acknowledge(1) == nil)
        #expect(outbox.next()?.number == 1)
        #expect(outbox.next()?.number == 2)
        #expect(outbox.append(3, delivery: nil, size: 1) == .queued)
        #expect(!outbox.hasNext)
        #expect(outbox.acknowledge(1)?.count == 1)
        #expect(outbox.hasNext)
        #expect(outbox.next()?.number == 3)
        #expect(outbox.append(4, delivery: nil, size: 1) == .send(number: 4))
        #expect(outbox.unconfirmed == 62)
    }

    @Test("Without XEP-0198 the window is closed by all that is sent, and opened by the client's next stanza")
    func uncountedWindow() {
        var outbox = outbox(window: 100)
        #expect(outbox.append(1, delivery: nil, size: 60) == .sendUnnumbered)
        #expect(outbox.isHalfTaken)
        #expect(outbox.append(2, delivery: DeliveryID(value: 2), size: 60) == .sendUnnumbered)
        #expect(outbox.append(3, delivery: nil, size: 10) == .queued)
        #expect(outbox.append(4, delivery: DeliveryID(value: 4), size: 10) == .queued)
        #expect(outbox.bytes == 80)
        #expect(outbox.acknowledgeAll().map(\.payload) == [2])
        #expect(drain(&outbox).map(\.payload) == [3, 4])
        #expect(outbox.entries.map(\.payload) == [4])
        #expect(outbox.bytes == 10)
        #expect(outbox.unconfirmed == 20)
    }

    @Test("Random traffic: what leaves by h leaves in order, once, and the books agree", arguments: 0..<20)
    func simulation(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var outbox = outbox(count: 50, bytes: 500, window: 200)
        _ = outbox.startCounting()
        var next = 0
        var received = 0
        var left: [Int] = []
        var isAttached = true
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                let isHeld = Bool.random(using: &random)
                let size = Int.random(in: 1...20, using: &random)
                switch outbox.append(next, delivery: nil, size: size, isHeld: isHeld) {
                case .send(let number):
                    #expect(!isHeld)
                    #expect(number == UInt64(next + 1))
                    next += 1
                    received = next
                case .queued: next += 1
                case .full: #expect(outbox.entries.count > 0)
                case .sendUnnumbered: Issue.record("unnumbered")
                }
            case 6..<8:
                let h = UInt32(Int.random(in: left.count...max(left.count, received), using: &random))
                guard let entries = outbox.acknowledge(h) else {
                    Issue.record("h \(h) refused")
                    return
                }
                left += entries.map(\.payload)
                #expect(left.count == Int(h))
            case 8 where isAttached:
                outbox.detached()
                isAttached = false
            case 8:
                outbox.attached()
                isAttached = true
                received = left.count
            default:
                for (number, payload) in drain(&outbox) {
                    #expect(number == UInt64(payload + 1))
                    received = payload + 1
                }
            }
            if isAttached { #expect(outbox.lastSent == UInt64(received)) }
            #expect(outbox.unconfirmed < 220)
        }
        #expect(left == Array(0..<left.count))
        #expect(outbox.bytes == outbox.entries.reduce(0) { $0 + $1.size })
    }
}

@Suite struct MessageLedgerTests {
    @Test("The first acknowledgement gives the row, later ones nothing, and nobody inherits it")
    func firstSettles() {
        var ledger = MessageLedger()
        let id = ledger.open(row: 7)
        ledger.hold(id)
        ledger.hold(id)
        #expect(ledger.rows == [7])
        #expect(ledger.acknowledged(id) == 7)
        #expect(ledger.released(id) == .settled)
        #expect(ledger.isEmpty)
        #expect(ledger.rows.isEmpty)
    }

    @Test("Only the last holder leaves an orphan")
    func orphan() {
        var ledger = MessageLedger()
        let id = ledger.open()
        ledger.hold(id)
        ledger.hold(id)
        #expect(!ledger.isHeldOnce(id))
        #expect(ledger.released(id) == .heldElsewhere)
        #expect(ledger.isHeldOnce(id))
        #expect(ledger.released(id) == .orphaned(row: nil))
        #expect(ledger.released(id) == .settled)
    }

    @Test("A message that nobody took is forgotten")
    func discarded() {
        var ledger = MessageLedger()
        let id = ledger.open(row: 1)
        ledger.discard(id)
        #expect(ledger.isEmpty)
        #expect(ledger.rows.isEmpty)
    }
}
