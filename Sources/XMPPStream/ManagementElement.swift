// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML
package import XMPPCore

/// What we write of stream management (XEP-0198 version 1.6).
package enum ManagementElement {
    /// Asks for the count of what was handled.
    package static let request = ByteBuffer(staticString: "<r xmlns='urn:xmpp:sm:3'/>")

    /// Whether `<enable/>` asks for resumption, or `<enabled/>` grants it.
    package static func isResumable(_ element: StreamElement) -> Bool {
        element["resume"] == "true" || element["resume"] == "1"
    }

    /// Tells that count.
    package static func acknowledgement(h: UInt32) -> ByteBuffer {
        ByteBuffer(string: "<a xmlns='urn:xmpp:sm:3' h='\(h)'/>")
    }

    /// Asks a peer to count; with resumption where `canResume`.
    package static func enable(canResume: Bool) -> ByteBuffer {
        ByteBuffer(string: "<enable xmlns='urn:xmpp:sm:3'\(canResume ? " resume='true'" : "")/>")
    }

    /// Asks to go on with a stream that was lost, of whose stanzas `h` were handled here.
    package static func resume(h: UInt32, token: String) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<resume xmlns='urn:xmpp:sm:3'")
        XMLEscape.writeAttribute("h", String(h), to: &buffer)
        XMLEscape.writeAttribute("previd", token, to: &buffer)
        buffer.writeStaticString("/>")
        return buffer
    }

    /// Without a token the session cannot be resumed.
    package static func enabled(token: String?, max: UInt32?) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<enabled xmlns='urn:xmpp:sm:3'")
        if let token {
            XMLEscape.writeAttribute("id", token, to: &buffer)
            XMLEscape.writeAttribute("resume", "true", to: &buffer)
            if let max { XMLEscape.writeAttribute("max", String(max), to: &buffer) }
        }
        buffer.writeStaticString("/>")
        return buffer
    }

    /// The lost stream goes on.
    package static func resumed(h: UInt32, token: String) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<resumed xmlns='urn:xmpp:sm:3'")
        XMLEscape.writeAttribute("h", String(h), to: &buffer)
        XMLEscape.writeAttribute("previd", token, to: &buffer)
        buffer.writeStaticString("/>")
        return buffer
    }

    /// What was asked for is not granted; `h`, if it is known, is what was handled.
    package static func failed(_ condition: StanzaError.Condition, h: UInt32? = nil) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "<failed xmlns='urn:xmpp:sm:3'")
        if let h { XMLEscape.writeAttribute("h", String(h), to: &buffer) }
        buffer.writeString("><\(condition.rawValue) xmlns='\(Namespace.stanzaErrors)'/></failed>")
        return buffer
    }
}
