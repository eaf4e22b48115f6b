// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore

/// A stanza on its way to another server.
struct OutgoingStanza: Sendable {
    let pair: FederationPair
    let stanza: Stanza
    /// Nil: a component's, which nobody waits for.
    let ticket: ForwardOrigin?
    /// Bytes that it is counted with.
    let size: Int
    /// Until then it waits for a link.
    let deadline: NIODeadline

    init(_ stanza: Stanza, pair: FederationPair, ticket: ForwardOrigin?, deadline: NIODeadline) {
        self.pair = pair
        self.stanza = stanza
        self.ticket = ticket
        self.size = stanza.encodedSize + 256
        self.deadline = deadline
    }
}
