// SPDX-License-Identifier: Apache-2.0

import DNS
import TestSupport
import Testing

@testable import S2S

@Suite struct ManyTargetsTests {
    @Test func `an answer with thousands of hosts has few tried, and those of the best priority`() {
        let records: [[UInt8]] = (0..<4_000).map { [0, UInt8($0 % 100), 0, 1, 0x14, 0x95, 1, 0x61, 0] }
        var random = SeededGenerator(seed: 3)
        let targets = Targets.order(
            direct: nil,
            startTLS: Answer(records: records, isSecure: false, isNameUnknown: false),
            using: &random
        )
        #expect(targets?.reduce(0) { $0 + $1.count } == Targets.maximumCount)
    }

    @Test func `what is no record counts as none`() {
        var random = SeededGenerator(seed: 3)
        let answer = Answer(records: [[], [0], [0, 0, 0, 0, 0, 0, 0xC0, 0x0C]], isSecure: true, isNameUnknown: false)
        #expect(Targets.order(direct: answer, startTLS: answer, using: &random) == [])
    }
}
