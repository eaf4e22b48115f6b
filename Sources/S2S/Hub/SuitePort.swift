// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// What the hub needs of the suite behind it. Every call is on the event loop.
protocol SuitePort: AnyObject {
    /// A stanza of a remote domain for one of ours, the `number`th of the stream that is named. `S2SHub.settled` follows
    /// once. `isCounted`: the peer learns what is settled (XEP-0198).
    func deliver(_ stanza: Stanza, stream: String, number: UInt64, isCounted: Bool)
    /// It is about to be written to a socket.
    func sent(_ ticket: ForwardOrigin)
    /// The peer acknowledged it, or its socket took it where the peer does not count.
    func settled(_ ticket: ForwardOrigin)
    /// Nobody will send it: its sender gets the error.
    func failed(_ ticket: ForwardOrigin, _ stanza: Stanza, with error: StanzaError)
    /// The same of a stanza without a ticket, a component's.
    func bounce(_ stanza: Stanza, with error: StanzaError)
    /// The process ends, and it was not sent: whoever else has it sees to it.
    func left(_ ticket: ForwardOrigin?, _ stanza: Stanza)
    /// What was said of stanzas is passed on now, before their bytes go to a socket.
    func report()
}
