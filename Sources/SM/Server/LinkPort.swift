// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// What the server needs of its link to the router: the real one is an `InstanceLink`.
///
/// Calls are made on the server's event loop; false says that the link is down and nothing was sent.
protocol LinkPort: AnyObject {
    /// A plain stanza, for a domain that is not ours.
    @discardableResult
    func send(_ stanza: Stanza) -> Bool
    /// A word about a session, for a C2S instance.
    @discardableResult
    func send(_ message: SessionMessage, to instance: String) -> Bool
    /// A stanza for a session's client.
    @discardableResult
    func send(_ stanza: Stanza, number: UInt64?, id: String?, by route: SessionRoute) -> Bool
    /// Whether an instance is there at this moment, and not only taken for one that comes back.
    func hasWay(to instance: String) -> Bool
    /// The name of this instance on the link.
    var instanceName: String { get }
    /// A question to an instance; `echo` is all that SM asks.
    @discardableResult
    func send(_ request: AdminRequest, to instance: String) -> Bool
    /// Bytes that wait to be written; a link whose queue is full is reset.
    var queuedBytes: Int { get }
}

extension LinkPort {
    @discardableResult
    func send(_ stanza: Stanza, number: UInt64?, id: String?, by route: SessionRoute) -> Bool {
        send(
            SessionMessage(session: route.session, attach: route.attach, .stanza(stanza, number: number)),
            to: route.instance
        )
    }
}

extension InstanceLink: LinkPort {
    var instanceName: String { name }
}
