// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore

/// Connections in the order of the last step that each has made: the one that stands still for longest is known at once,
/// however many there are. Pure; owned by the loop.
///
/// A step is added at the end, and what it makes obsolete stays until it is at the front, or until that is most of all.
struct ProgressOrder {
    private struct Step {
        var id: ObjectIdentifier
        var number: UInt64
        var time: NIODeadline
    }

    private var steps: Deque<Step> = []
    /// The number of each connection's last step.
    private var last: [ObjectIdentifier: UInt64] = [:]
    private var next: UInt64 = 0

    /// How many connections there are.
    var count: Int { last.count }

    /// How much is kept for them.
    var storedSteps: Int { steps.count }

    /// A connection came, or made a step; time does not go back.
    mutating func progressed(_ id: ObjectIdentifier, at time: NIODeadline) {
        next += 1
        last[id] = next
        steps.append(Step(id: id, number: next, time: time))
        if steps.count > 2 * last.count + 64 { steps.removeAll { last[$0.id] != $0.number } }
    }

    mutating func remove(_ id: ObjectIdentifier) {
        last[id] = nil
    }

    /// The connection that stands still for longest, and since when.
    mutating func stalest() -> (id: ObjectIdentifier, since: NIODeadline)? {
        while let first = steps.first {
            if last[first.id] == first.number { return (first.id, first.time) }
            steps.removeFirst()
        }
        return nil
    }
}
