// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import NIOCore
import XMPPCore

/// What waits for one pair of domains, and where it goes. Confined to the hub's event loop.
final class OutgoingLink {
    enum State {
        /// Nothing waits.
        case idle
        /// The stream is being made, or the pair is being proved on it.
        case connecting(ServerStream)
        case ready(ServerStream)
        /// The last try failed; the next one comes then.
        case waiting(until: NIODeadline)
    }

    let pair: FederationPair
    var state = State.idle
    private(set) var queue: Deque<OutgoingStanza> = []
    private(set) var queuedBytes = 0
    /// Tries that failed since the last one that did not.
    var failures = 0
    var lastFailure: (failure: FederationFailure, at: NIODeadline)?

    init(_ pair: FederationPair) {
        self.pair = pair
    }

    var stream: ServerStream? {
        switch self.state {
        case .connecting(let stream), .ready(let stream): stream
        case .idle, .waiting: nil
        }
    }

    func append(_ stanza: OutgoingStanza) {
        self.queue.append(stanza)
        self.queuedBytes += stanza.size
    }

    /// What was sent already comes before all that waits.
    func prepend(_ stanzas: [OutgoingStanza]) {
        self.queue.prepend(contentsOf: stanzas)
        for stanza in stanzas { self.queuedBytes += stanza.size }
    }

    func popFirst() -> OutgoingStanza? {
        guard let stanza = self.queue.popFirst() else { return nil }
        self.queuedBytes -= stanza.size
        return stanza
    }

    /// Takes out those that are meant.
    func take(where isMeant: (OutgoingStanza) -> Bool) -> Deque<OutgoingStanza> {
        let taken = self.queue.filter(isMeant)
        self.queue.removeAll(where: isMeant)
        for stanza in taken { self.queuedBytes -= stanza.size }
        return taken
    }

    /// The pause before the next try: doubled with each failure, between a half and all of it.
    static func pause(failures: Int, maximum: TimeAmount, using random: inout some RandomNumberGenerator) -> TimeAmount
    {
        let longest = min(maximum.nanoseconds, 1_000_000_000 << Int64(min(max(failures - 1, 0), 20)))
        return .nanoseconds(Int64.random(in: longest / 2...max(longest, 2), using: &random))
    }
}
