// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// What we write of stream management (XEP-0198 version 1.6).
enum ManagementElement {
    static let request = ByteBuffer(staticString: "<r xmlns='urn:xmpp:sm:3'/>")

    static func acknowledgement(h: UInt32) -> ByteBuffer {
        ByteBuffer(string: "<a xmlns='urn:xmpp:sm:3' h='\(h)'/>")
    }

    /// Without a token the session cannot be resumed.
    static func enabled(token: String?, max: UInt32?) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<enabled xmlns='urn:xmpp:sm:3'")
        if let token {
            XMLEscape.writeAttribute("id", token, to: &buffer)
            XMLEscape.writeAttribute("resume", "true", to: &buffer)
            if let max { XMLEscape.writeAttribute("max", String(max), to: &buffer) }
        }
        buffer.writeStaticString("/>")
        return buffer
    }

    static func resumed(h: UInt32, token: String) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<resumed xmlns='urn:xmpp:sm:3'")
        XMLEscape.writeAttribute("h", String(h), to: &buffer)
        XMLEscape.writeAttribute("previd", token, to: &buffer)
        buffer.writeStaticString("/>")
        return buffer
    }

    static func failed(_ condition: StanzaError.Condition, h: UInt32? = nil) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<failed xmlns='urn:xmpp:sm:3'")
        if let h { XMLEscape.writeAttribute("h", String(h), to: &buffer) }
        buffer.writeString("><\(condition.rawValue) xmlns='\(Namespace.stanzaErrors)'/></failed>")
        return buffer
    }
}
