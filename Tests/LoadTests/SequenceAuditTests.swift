// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Load

@Suite struct SequenceAuditTests {
    private func audit(_ numbers: [Int], sent: Int) -> (counts: DeliveryCounts, lost: Int) {
        var (audit, counts) = (SequenceAudit(), DeliveryCounts())
        for number in numbers { counts.add(audit.arrived(number)) }
        return (counts, audit.outstanding(sent: sent))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let numbers: [Int]
        var sent = 5
        let delivered: Int
        var doubled = 0
        var reordered = 0
        var lost = 0
    }

    @Test(
        "Deliveries are judged by their numbers",
        arguments: [
            Case(testDescription: "all in order", numbers: [0, 1, 2, 3, 4], delivered: 5),
            Case(testDescription: "nothing came", numbers: [], delivered: 0, lost: 5),
            Case(testDescription: "the end is missing", numbers: [0, 1], delivered: 2, lost: 3),
            Case(testDescription: "a gap", numbers: [0, 3, 4], delivered: 3, lost: 2),
            Case(testDescription: "one came twice", numbers: [0, 1, 1, 2, 3, 4], delivered: 5, doubled: 1),
            Case(testDescription: "one came late", numbers: [0, 2, 1, 3, 4], delivered: 5, reordered: 1),
            Case(
                testDescription: "late and then again",
                numbers: [1, 0, 0, 2, 3, 4],
                delivered: 5,
                doubled: 1,
                reordered: 1
            ),
            Case(testDescription: "backwards", numbers: [4, 3, 2, 1, 0], delivered: 5, reordered: 4),
        ]
    )
    func judge(_ test: Case) {
        let (counts, lost) = audit(test.numbers, sent: test.sent)
        #expect(counts.delivered == test.delivered)
        #expect(counts.doubled == test.doubled)
        #expect(counts.reordered == test.reordered)
        #expect(lost == test.lost)
    }
}

@Suite struct OpenLoopScheduleTests {
    @Test("Every message is due once, at its time, however late one asks")
    func due() {
        var schedule = OpenLoopSchedule(start: 1_000_000_000, messagesPerSecond: 1_000)
        #expect(schedule.due(at: 999_999_999) == 0..<0)
        #expect(schedule.due(at: 1_000_000_000) == 0..<1)
        #expect(schedule.nextTime == 1_001_000_000)
        #expect(schedule.due(at: 1_000_999_999) == 1..<1)
        // The one who asks slept for 100 ms: all that was due meanwhile is due with the time that it was due at.
        #expect(schedule.due(at: 1_101_000_000) == 1..<102)
        #expect(schedule.time(of: 1) == 1_001_000_000)
        #expect(schedule.time(of: 101) == 1_101_000_000)
        #expect(schedule.due(at: 1_101_000_000) == 102..<102)
    }

    @Test("The rate is kept over a long time, also where the interval is no whole number")
    func rate() {
        let schedule = OpenLoopSchedule(start: 0, messagesPerSecond: 3_000)
        #expect(schedule.time(of: 3_000 * 3_600) == 3_600_000_000_000)
    }
}
