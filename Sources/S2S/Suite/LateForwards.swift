// SPDX-License-Identifier: Apache-2.0

import ComponentLink

/// What an SM handed over while it was an owner, and what comes when it is none any more: one that stood still and was
/// evicted has stanzas on their way when it goes on, and by then the next owner has handed them over, or has answered them.
///
/// What no client counts is not late: nobody else hands it over. A pure value.
struct LateForwards {
    private var epoch: UInt64 = 0
    /// The SMs of the map in force, with the epoch of the map that they came with.
    private var since: [String: UInt64] = [:]

    /// The maps come in the order of their epochs. Who is in the first one was it before.
    mutating func mapChanged(to map: OwnershipMap) {
        let isFirst = self.epoch == 0
        self.epoch = map.epoch
        let known = self.since
        self.since = [:]
        for name in map.instances { self.since[name] = known[name] ?? (isFirst ? 0 : map.epoch) }
    }

    /// Whether the stanza is from a time in which the SM was an owner, and that is over. An SM may know a newer map.
    func isLate(_ forwarded: SessionMessage.Forwarded, from instance: String) -> Bool {
        guard forwarded.isCounted, forwarded.epoch <= self.epoch else { return false }
        return self.since[instance].map { forwarded.epoch < $0 } ?? true
    }
}
