// SPDX-License-Identifier: Apache-2.0

/// Follows the numbers 0, 1, 2, … of one conversation as they arrive: what came twice, what came late, what never came.
struct SequenceAudit: Sendable {
    enum Arrival {
        /// In its place, or after a gap.
        case inOrder
        /// For the first time, but after one that was sent later.
        case late
        case again
    }

    private var expected = 0
    /// Numbers that were passed over.
    private var missing: Set<Int> = []

    mutating func arrived(_ number: Int) -> Arrival {
        if number == expected {
            expected += 1
            return .inOrder
        }
        if number < expected { return missing.remove(number) == nil ? .again : .late }
        missing.formUnion(expected..<number)
        expected = number + 1
        return .inOrder
    }

    /// How many of the first `sent` numbers have not come.
    func outstanding(sent: Int) -> Int { missing.count + max(sent - expected, 0) }
}

/// The sums over all conversations, and how long the deliveries took.
struct DeliveryCounts: Sendable {
    var delivered = 0
    var doubled = 0
    var reordered = 0
    /// Stanzas of type `error`.
    var errors = 0
    var latency = LatencyHistogram()

    mutating func add(_ arrival: SequenceAudit.Arrival) {
        switch arrival {
        case .inOrder: delivered += 1
        case .late:
            delivered += 1
            reordered += 1
        case .again: doubled += 1
        }
    }
}
