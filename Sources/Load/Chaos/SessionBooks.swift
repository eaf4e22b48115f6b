// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// The counters of XEP-0198 on the client's side, for one session over all its connections.
///
/// A session lasts from its bind until it cannot be resumed any more. Both counters start with `<enabled/>`.
struct SessionBooks: Sendable {
    /// What was sent and is not acknowledged.
    enum Entry: Equatable, Sendable {
        case message(MessageReference)
        /// Something else that counts, to be sent again as it is.
        case other(String)

        var message: MessageReference? { if case .message(let message) = self { message } else { nil } }
    }

    /// Which of the client's sessions it is, from 1.
    let ordinal: Int
    /// What `<enabled/>` gave to resume it with; nil: it cannot be resumed.
    let token: String?
    /// Stanzas that arrived: our `h`.
    private(set) var received: UInt32 = 0
    /// The server's `h`.
    private(set) var acknowledged: UInt32 = 0
    private(set) var unacknowledged: Deque<Entry> = []

    init(ordinal: Int, token: String?) {
        (self.ordinal, self.token) = (ordinal, token)
    }

    /// The number of the last stanza that was sent.
    var sent: UInt32 { acknowledged &+ UInt32(truncatingIfNeeded: unacknowledged.count) }

    mutating func stanzaReceived() { received &+= 1 }

    mutating func send(_ entry: Entry) { unacknowledged.append(entry) }

    /// The server's `h`, in `<a/>`, `<resumed/>` or `<failed/>`: what it acknowledges now; nil for one that takes back
    /// what it acknowledged, or acknowledges what was never sent.
    mutating func acknowledge(_ h: UInt32) -> [Entry]? {
        let count = Int(h &- acknowledged)
        guard count <= unacknowledged.count else { return nil }
        let entries = Array(unacknowledged.prefix(count))
        unacknowledged.removeFirst(count)
        acknowledged = h
        return entries
    }
}
