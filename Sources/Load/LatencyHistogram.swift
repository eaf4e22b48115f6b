// SPDX-License-Identifier: Apache-2.0

/// A histogram of times with three significant digits, in the log-linear layout of HdrHistogram.
///
/// Values below 2,048 ns have a slot each; above it every doubling has 1,024 slots, so a slot is at most 0.1 % wide.
/// Recording is an increment: no allocation, no sorting, and memory does not grow with the number of values.
struct LatencyHistogram: Sendable {
    private static let halfBits = 10
    private static let half = 1 << halfBits
    /// An hour; what took longer counts as an hour.
    static let largest: Int64 = 3_600_000_000_000

    private var slots = [Int](repeating: 0, count: slot(of: largest) + 1)
    private(set) var count = 0
    private(set) var maximum: Int64 = 0
    private var sum: Int64 = 0

    /// Counts a time in nanoseconds; a negative one counts as none.
    mutating func record(_ nanoseconds: Int64) {
        let value = min(max(nanoseconds, 0), Self.largest)
        slots[Self.slot(of: value)] += 1
        count += 1
        maximum = max(maximum, value)
        sum &+= value
    }

    var mean: Double { count > 0 ? Double(sum) / Double(count) : 0 }

    /// The time, in nanoseconds, that `share` (0...1) of all values do not exceed, exact to 0.1 %.
    func value(atShare share: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let wanted = min(max(Int((share * Double(count)).rounded(.up)), 1), count)
        var seen = 0
        for (slot, number) in slots.enumerated() where number > 0 {
            seen += number
            if seen >= wanted { return min(Self.upperBound(of: slot), maximum) }
        }
        return maximum
    }

    /// Milliseconds by the names that HdrHistogram's reports use.
    var percentiles: [String: Double]? {
        guard count > 0 else { return nil }
        func milliseconds(_ share: Double) -> Double { Double(value(atShare: share)) / 1e6 }
        return [
            "p50": milliseconds(0.5), "p90": milliseconds(0.9), "p99": milliseconds(0.99),
            "p99.9": milliseconds(0.999), "max": Double(maximum) / 1e6, "mean": mean / 1e6,
        ]
    }

    static func slot(of value: Int64) -> Int {
        let bits = Int64.bitWidth - value.leadingZeroBitCount
        let shift = max(bits - halfBits - 1, 0)
        return shift * half + Int(value >> Int64(shift))
    }

    /// The largest value of a slot.
    static func upperBound(of slot: Int) -> Int64 {
        guard slot >= 2 * half else { return Int64(slot) }
        let shift = slot / half - 1
        let start = Int64(slot - shift * half) << Int64(shift)
        return start + (1 << Int64(shift)) - 1
    }
}
