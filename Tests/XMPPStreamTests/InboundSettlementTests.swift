// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import XMPPStream

@Suite struct InboundSettlementTests {
    @Test("The run grows as far as everything below is settled, in whatever order it was settled")
    func outOfOrder() {
        var settlement = InboundSettlement()
        for number in UInt64(1)...4 { #expect(settlement.received(number) == .new) }
        settlement.settled(3)
        settlement.settled(2)
        #expect(settlement.report() == nil)
        settlement.settled(1)
        #expect(settlement.report() == 3)
        #expect(settlement.report() == nil)
        settlement.settled(4)
        #expect(settlement.report() == 4)
        #expect(settlement.openCount == 0)
    }

    @Test("A duplicate is not handled again, and one that is settled is reported again")
    func duplicates() {
        var settlement = InboundSettlement()
        #expect(settlement.received(1) == .new)
        #expect(settlement.received(1) == .duplicate)
        settlement.settled(1)
        #expect(settlement.report() == 1)
        #expect(settlement.received(1) == .duplicate)
        #expect(settlement.report() == 1)
    }

    @Test("Number 0 and what is past the window are refused")
    func refused() {
        var settlement = InboundSettlement(window: 10)
        #expect(settlement.received(0) == .refused)
        #expect(settlement.received(11) == .refused)
        #expect(settlement.received(10) == .new)
    }

    @Test("The acknowledgement counts from <enable/> and wraps at 2^32")
    func wraps() {
        var settlement = InboundSettlement()
        for number in UInt64(1)...5 {
            _ = settlement.received(number)
            settlement.settled(number)
        }
        #expect(settlement.acknowledgement(since: 2) == 3)
        #expect(settlement.acknowledgement(since: 6) == 0)
    }

    @Test("Random order: the run is at any time the longest settled prefix", arguments: 0..<20)
    func simulation(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var settlement = InboundSettlement()
        var open: [UInt64] = []
        var settled: Set<UInt64> = []
        var next: UInt64 = 1
        for _ in 0..<500 {
            if open.isEmpty || Bool.random(using: &random) {
                #expect(settlement.received(next) == .new)
                open.append(next)
                next += 1
            } else {
                let number = open.remove(at: Int.random(in: 0..<open.count, using: &random))
                settlement.settled(number)
                settled.insert(number)
            }
            var prefix: UInt64 = 0
            while settled.contains(prefix + 1) { prefix += 1 }
            #expect(settlement.run == prefix)
            #expect(settlement.openCount == open.count)
        }
    }
}
