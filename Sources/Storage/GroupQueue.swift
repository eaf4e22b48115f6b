// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// The order in which a connection's units run, and which of them share a transaction.
///
/// Units run in the order in which they were added. A group that failed is cut at the unit that failed: what was
/// before it runs as a group, it runs alone (and only then its failure counts), what was behind it runs as a group.
/// After a few such cuts all that is left of the group runs one by one, so that a group of failures stays linear.
struct GroupQueue {
    let maximumUnits: Int
    let maximumWeight: Int
    private var units = Deque<WorkUnit>()
    /// The sizes of the groups that are next, when a failure decided them.
    private var cuts = Deque<Int>()
    private var failures = 0

    /// So many cuts at most are made of one group.
    private static let maximumFailures = 8

    init(maximumUnits: Int, maximumWeight: Int) {
        self.maximumUnits = max(1, maximumUnits)
        self.maximumWeight = maximumWeight
    }

    var isEmpty: Bool { units.isEmpty }

    mutating func append(_ new: [WorkUnit]) {
        units.append(contentsOf: new)
    }

    /// Takes the next group; empty only if the queue is.
    mutating func nextGroup() -> [WorkUnit] {
        guard let size = cuts.popFirst() else {
            failures = 0
            return takeWithinBounds()
        }
        let group = Array(units.prefix(size))
        units.removeFirst(group.count)
        return group
    }

    private mutating func takeWithinBounds() -> [WorkUnit] {
        var group: [WorkUnit] = []
        var weight = 0
        while group.count < maximumUnits, let unit = units.first, group.isEmpty || weight + unit.weight <= maximumWeight
        {
            weight += unit.weight
            group.append(unit)
            units.removeFirst()
        }
        return group
    }

    /// Puts back a group of more than one unit that was rolled back; `culprit` is the unit that failed, if known.
    mutating func putBack(_ group: [WorkUnit], culprit: Int?) {
        failures += 1
        units.prepend(contentsOf: group)
        if let culprit, failures <= Self.maximumFailures {
            let sizes = [culprit, 1, group.count - culprit - 1].filter { $0 > 0 }
            cuts.prepend(contentsOf: sizes)
        } else {
            cuts.prepend(contentsOf: Array(repeating: 1, count: group.count))
        }
    }

    /// Puts back what was under way when the connection was lost, in front and in order.
    mutating func putBackLost(_ group: [WorkUnit]) {
        cuts.removeAll()
        units.prepend(contentsOf: group)
    }

    /// Takes out what was asked for under an older epoch for users that are not ours any more.
    mutating func judge(by fence: Fence) -> [WorkUnit] {
        var refused: [WorkUnit] = []
        var kept = Deque<WorkUnit>(minimumCapacity: units.count)
        for var unit in units {
            if let claim = unit.claim, claim.epoch < fence.epoch {
                guard fence.keeps(claim.user) else {
                    refused.append(unit)
                    continue
                }
                unit.claim?.epoch = fence.epoch
            }
            kept.append(unit)
        }
        if !refused.isEmpty { cuts.removeAll() }
        units = kept
        return refused
    }

    /// Empties the queue.
    mutating func takeAll() -> [WorkUnit] {
        cuts.removeAll()
        defer { units.removeAll() }
        return Array(units)
    }
}
