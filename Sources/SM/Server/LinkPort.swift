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
    /// Bytes that wait to be written; a link whose queue is full is reset.
    var queuedBytes: Int { get }
}

extension InstanceLink: LinkPort {}
