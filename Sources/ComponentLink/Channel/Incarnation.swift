// SPDX-License-Identifier: Apache-2.0

/// One end of a reliable channel, as long as it forgets nothing.
package struct Incarnation: Hashable, Sendable {
    /// The random string of this start of the process.
    package var epoch: String
    /// How often this end has forgotten what it knew of the other one.
    package var generation: UInt64

    package init(epoch: String, generation: UInt64) {
        self.epoch = epoch
        self.generation = generation
    }
}

/// Whose message it is, and for whom. In an acknowledgement: whose messages are acknowledged, and by whom.
package struct Pair: Hashable, Sendable {
    package var from: Incarnation
    package var to: Incarnation

    package init(from: Incarnation, to: Incarnation) {
        self.from = from
        self.to = to
    }
}
