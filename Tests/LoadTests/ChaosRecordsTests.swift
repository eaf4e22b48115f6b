// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Load

/// The verdict over what clients saw: a history of one conversation in, violations out.
@Suite struct ChaosRecordsTests {
    enum Step: Sendable {
        case send(at: Double)
        case acknowledge(Int, at: Double)
        case refuse(Int)
        /// The sender drops its connection.
        case disturb(Int)
        /// From the sender's session, in the receiver's; `id` is the stable id.
        case receive(Int, from: Int = 1, in: Int = 1, id: UInt64 = 7)
        case endRound
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let steps: [Step]
        var violations: [ChaosVerdict.Violation: Int] = [:]
        var repeatedBySender = 0
        var repeatedInLaterSession = 0
        var arrivedAfterItsRound = 0
        var late = 0
    }

    private static func sent(_ count: Int) -> [Step] {
        (0..<count).map { .send(at: Double($0) / 100) } + (0..<count).map { .acknowledge($0, at: 0.5) }
    }

    private static let cases = [
        Case(testDescription: "sent, acknowledged and received", steps: sent(2) + [.receive(0), .receive(1)]),
        Case(testDescription: "acknowledged, never received", steps: sent(2) + [.receive(0)], violations: [.lost: 1]),
        Case(
            testDescription: "neither acknowledged nor refused",
            steps: [.send(at: 0)],
            violations: [.unresolved: 1],
            late: 1
        ),
        Case(
            testDescription: "received, but neither acknowledged nor refused",
            steps: [.send(at: 0), .receive(0)],
            violations: [.unresolved: 1],
            late: 1
        ),
        Case(testDescription: "refused", steps: [.send(at: 0), .refuse(0)]),
        Case(testDescription: "acknowledged, then refused", steps: sent(1) + [.refuse(0)]),
        Case(
            testDescription: "twice in one session",
            steps: sent(1) + [.receive(0), .receive(0)],
            violations: [.doubled: 1]
        ),
        Case(
            testDescription: "twice in one session, with another stable id",
            steps: sent(1) + [.receive(0), .receive(0, id: 8)],
            violations: [.doubled: 1]
        ),
        Case(
            testDescription: "again in a later session",
            steps: sent(1) + [.receive(0), .receive(0, in: 2)],
            repeatedInLaterSession: 1
        ),
        Case(
            testDescription: "again in a later session, twice",
            steps: sent(1) + [.receive(0), .receive(0, in: 2), .receive(0, in: 2)],
            violations: [.doubled: 1],
            repeatedInLaterSession: 1
        ),
        Case(
            testDescription: "again in a later session with another stable id",
            steps: sent(1) + [.receive(0), .receive(0, in: 2, id: 8)],
            violations: [.doubledWithAnotherID: 1]
        ),
        Case(
            testDescription: "sent again in a new session of the sender",
            steps: sent(1) + [.receive(0), .receive(0, from: 2, id: 8)],
            repeatedBySender: 1
        ),
        Case(
            testDescription: "overtaken",
            steps: sent(3) + [.receive(1), .receive(0), .receive(2)],
            violations: [.reordered: 1]
        ),
        Case(testDescription: "a gap is no disorder", steps: sent(3) + [.refuse(1), .receive(0), .receive(2)]),
        Case(
            testDescription: "overtaken over two sessions of the receiver",
            steps: sent(2) + [.receive(1), .receive(0, in: 2)],
            violations: [.reordered: 1]
        ),
        Case(
            testDescription: "what was not acknowledged comes again before what is new",
            steps: sent(3) + [.receive(0), .receive(1), .receive(0, in: 2), .receive(1, in: 2), .receive(2, in: 2)],
            repeatedInLaterSession: 2
        ),
        Case(
            testDescription: "what was not acknowledged comes again after what is new",
            steps: sent(3) + [.receive(0), .receive(1), .receive(2, in: 2), .receive(1, in: 2)],
            violations: [.reordered: 1],
            repeatedInLaterSession: 1
        ),
        Case(
            testDescription: "late within the same session over two rounds",
            steps: sent(1) + [.receive(0), .endRound, .receive(0)],
            violations: [.doubled: 1]
        ),
        Case(
            testDescription: "again in a later session in the next round",
            steps: sent(1) + [.receive(0), .endRound, .receive(0, in: 2)],
            repeatedInLaterSession: 1
        ),
        Case(
            testDescription: "lost in its round, and there in the next one",
            steps: sent(1) + [.endRound, .receive(0)],
            violations: [.lost: 1],
            arrivedAfterItsRound: 1
        ),
        Case(testDescription: "never sent", steps: [.receive(0)], violations: [.unknown: 1]),
        Case(
            testDescription: "acknowledged after more than a second",
            steps: [.send(at: 0), .acknowledge(0, at: 1.5), .receive(0)],
            late: 1
        ),
        Case(
            testDescription: "late since the sender dropped its connection",
            steps: [.send(at: 0), .disturb(0), .acknowledge(0, at: 1.5), .receive(0)]
        ),
        Case(
            testDescription: "late within a fault, which begins half a second later",
            steps: [.send(at: 9.5), .acknowledge(0, at: 15), .receive(0)]
        ),
    ]

    @Test("What clients saw is judged", arguments: cases)
    func judge(_ test: Case) {
        var records = ChaosRecords(pairs: 1)
        var verdicts: [ChaosVerdict] = []
        let faults = [seconds(10)..<seconds(20)]
        for (index, step) in test.steps.enumerated() {
            switch step {
            case .send(let time): _ = records.sent(pair: 0, at: seconds(time))
            case .acknowledge(let number, let time): records.acknowledged(message(number), at: seconds(time))
            case .refuse(let number): records.refused(message(number), condition: "resource-constraint")
            case .disturb(let number): records.disturbed(message(number))
            case .receive(let number, let sender, let receiver, let id):
                records.received(
                    Receipt(
                        message: message(number),
                        senderSession: sender,
                        receiverSession: receiver,
                        stableID: id,
                        time: Int64(index)
                    )
                )
            case .endRound: verdicts.append(records.endRound(faults: faults))
            }
        }
        verdicts.append(records.endRound(faults: faults))
        let violations = verdicts.reduce(into: [:]) { $0.merge($1.violations, uniquingKeysWith: +) }
        #expect(violations == test.violations)
        #expect(verdicts.reduce(0) { $0 + $1.repeatedBySender } == test.repeatedBySender)
        #expect(verdicts.reduce(0) { $0 + $1.repeatedInLaterSession } == test.repeatedInLaterSession)
        #expect(verdicts.reduce(0) { $0 + $1.arrivedAfterItsRound } == test.arrivedAfterItsRound)
        #expect(verdicts.reduce(0) { $0 + $1.acknowledgedLate } == test.late)
    }

    @Test("What is neither acknowledged nor refused is known at any time")
    func unresolved() {
        var records = ChaosRecords(pairs: 2)
        let first = records.sent(pair: 0, at: 1)
        let second = records.sent(pair: 1, at: 2)
        #expect(records.unresolved == 2)
        #expect(records.age(of: [first, second], at: 11) == 10)
        records.acknowledged(first, at: 3)
        records.acknowledged(first, at: 4)
        records.refused(first, condition: "gone")
        #expect(records.unresolved == 1)
        #expect(records.age(of: [first, second], at: 11) == 9)
        records.refused(second, condition: "gone")
        #expect(records.unresolved == 0)
        #expect(records.age(of: [first, second], at: 11) == nil)
        #expect(records.endRound(faults: []).errors == ["gone": 2])
    }

    @Test("Of each violation a few examples are kept")
    func samples() {
        var records = ChaosRecords(pairs: 1)
        for number in 0..<20 { records.acknowledged(records.sent(pair: 0, at: Int64(number)), at: 100) }
        let verdict = records.endRound(faults: [])
        #expect(verdict.violations == [.lost: 20])
        #expect(verdict.samples.count == ChaosVerdict.sampleLimit)
        #expect(verdict.samples.first?.message == message(0))
        #expect(verdict.samples.first?.facts == .init(sentAt: 0, acknowledgedAt: 100))
    }

    private func message(_ number: Int) -> MessageReference { MessageReference(pair: 0, number: number) }

    private func seconds(_ time: Double) -> Int64 { Int64(time * 1e9) }
}
