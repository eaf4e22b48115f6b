// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Finds the members whose heartbeat stands still. A pure value; time is told.
///
/// Only our own successful reads count, and only from the arrival of one to the sending of a later one: so long nobody
/// raised the heartbeat for sure. Two reads too far apart (the database was away, or we were stopped ourselves) say
/// nothing about the time between them, in which the others may have been kept from it as well: the count starts anew.
struct PeerWatch {
    private struct Sight {
        var peer: OwnershipPeer
        /// When it was first seen like this.
        var since: NIODeadline
    }

    private let patience: TimeAmount
    private let longestGap: TimeAmount
    private var sights: [String: Sight] = [:]
    private var lastRead: NIODeadline?

    /// `patience`: for how long a heartbeat stands still at least. `longestGap`: how far apart two reads may be.
    init(patience: TimeAmount, longestGap: TimeAmount) {
        self.patience = patience
        self.longestGap = longestGap
    }

    /// A read was sent at one time and its answer arrived at another: gives the peers that stood still for too long.
    mutating func read(_ peers: [OwnershipPeer], sent: NIODeadline, arrived: NIODeadline) -> [OwnershipPeer] {
        if let lastRead, arrived - lastRead > longestGap { sights = [:] }
        lastRead = arrived
        var seen: [String: Sight] = [:]
        var still: [OwnershipPeer] = []
        for peer in peers {
            guard let sight = sights[peer.name], sight.peer == peer else {
                seen[peer.name] = Sight(peer: peer, since: arrived)
                continue
            }
            seen[peer.name] = sight
            if sent - sight.since >= patience { still.append(peer) }
        }
        sights = seen
        return still
    }
}
