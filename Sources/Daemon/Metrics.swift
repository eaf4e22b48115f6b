// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A value that only grows; any thread.
package final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    package init() {}

    package func increment(by amount: Int = 1) {
        count.wrappingAdd(amount, ordering: .relaxed)
    }

    package var value: Int { count.load(ordering: .relaxed) }
}

/// A value that goes up and down; any thread.
package final class Gauge: Sendable {
    private let current = Atomic<Int>(0)

    package init() {}

    package func set(_ value: Int) {
        current.store(value, ordering: .relaxed)
    }

    package func increment(by amount: Int = 1) {
        current.wrappingAdd(amount, ordering: .relaxed)
    }

    package func decrement(by amount: Int = 1) {
        current.wrappingSubtract(amount, ordering: .relaxed)
    }

    package var value: Int { current.load(ordering: .relaxed) }
}

/// Observations counted in buckets; any thread.
package final class Histogram: Sendable {
    /// What an observation is: an integer in the finest unit, shown multiplied.
    package enum Unit: Sendable {
        /// Nanoseconds, shown as seconds.
        case seconds
        /// As it is: bytes, messages.
        case count
    }

    package let unit: Unit
    /// The upper bounds, ascending, in the finest unit.
    package let bounds: [Int]
    private let state: Mutex<(counts: [Int], sum: Int)>

    /// A histogram of times.
    package convenience init(durations: [Duration]) {
        self.init(unit: .seconds, bounds: durations.map(Self.nanoseconds))
    }

    package init(unit: Unit, bounds: [Int]) {
        self.unit = unit
        self.bounds = bounds.sorted()
        self.state = Mutex((counts: Array(repeating: 0, count: bounds.count + 1), sum: 0))
    }

    package func observe(_ duration: Duration) {
        observe(Self.nanoseconds(duration))
    }

    package func observe(_ value: Int) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] &+= 1
            state.sum &+= value
        }
    }

    /// The count of each bucket (not accumulated; the last is what exceeds all bounds) and the sum.
    package var snapshot: (counts: [Int], sum: Int) { state.withLock { $0 } }

    /// From 100 microseconds to 10 seconds.
    package static let latencies: [Duration] = [
        .microseconds(100), .microseconds(500), .milliseconds(1), .milliseconds(5), .milliseconds(10),
        .milliseconds(50), .milliseconds(100), .milliseconds(500), .seconds(1), .seconds(10),
    ]

    private static func nanoseconds(_ duration: Duration) -> Int {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = Int(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        return product &+ Int(attoseconds / 1_000_000_000)
    }
}
