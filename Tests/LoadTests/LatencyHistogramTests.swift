// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Load

@Suite struct LatencyHistogramTests {
    @Test("A slot holds its largest value, and the next slot begins right after it")
    func slots() {
        for slot in 0..<LatencyHistogram.slot(of: LatencyHistogram.largest) {
            let upper = LatencyHistogram.upperBound(of: slot)
            #expect(LatencyHistogram.slot(of: upper) == slot)
            #expect(LatencyHistogram.slot(of: upper + 1) == slot + 1)
        }
    }

    @Test("Every percentile is that of the sorted values, to one part in a thousand")
    func percentiles() {
        var generator = SystemRandomNumberGenerator()
        var histogram = LatencyHistogram()
        var values: [Int64] = []
        for _ in 0..<20_000 {
            // Over many orders of magnitude, as latencies are.
            let value = Int64.random(in: 0...(1 << Int64.random(in: 1...35, using: &generator)), using: &generator)
            values.append(value)
            histogram.record(value)
        }
        values.sort()
        for share in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1] {
            let exact = values[max(Int((share * Double(values.count)).rounded(.up)) - 1, 0)]
            let found = histogram.value(atShare: share)
            #expect(found >= exact)
            #expect(Double(found - exact) <= Double(exact) / 1_000)
        }
        #expect(histogram.maximum == values.last)
        #expect(histogram.count == values.count)
    }

    @Test("An empty histogram has no percentiles")
    func empty() {
        #expect(LatencyHistogram().percentiles == nil)
        #expect(LatencyHistogram().value(atShare: 0.5) == 0)
    }

    @Test("What is out of range counts at the end of the range", arguments: [-1, Int64.max])
    func range(value: Int64) {
        var histogram = LatencyHistogram()
        histogram.record(value)
        #expect(histogram.value(atShare: 1) == (value < 0 ? 0 : LatencyHistogram.largest))
    }

    @Test("Percentiles are in milliseconds")
    func milliseconds() {
        var histogram = LatencyHistogram()
        histogram.record(1_000_000)
        histogram.record(3_000_000)
        let percentiles = histogram.percentiles ?? [:]
        #expect(percentiles["mean"] == 2)
        #expect(percentiles["max"] == 3)
        #expect(abs((percentiles["p50"] ?? 0) - 1) < 0.001)
    }
}
