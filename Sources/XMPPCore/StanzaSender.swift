// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// Who sends many stanzas: the address, and the attribute `from` as each of them gets it.
package struct StanzaSender: Sendable {
    package let jid: JID
    let attribute: ByteBuffer

    /// The sender with this address.
    package init(_ jid: JID) {
        self.jid = jid
        var attribute = ByteBuffer()
        XMLEscape.writeAttribute("from", jid.description, to: &attribute)
        self.attribute = attribute
    }
}
