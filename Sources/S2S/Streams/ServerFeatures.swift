// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// The `<stream:features/>` between servers: what we offer, and what a peer offered.
struct ServerFeatures: Equatable, Sendable {
    var startTLS = false
    var isTLSRequired = false
    /// SASL EXTERNAL (XEP-0178).
    var external = false
    /// Dialback, with errors that leave the stream open (XEP-0220 §2.4).
    var dialback = false
    var dialbackErrors = false
    /// Bidirectional streams (XEP-0288).
    var bidi = false
    /// Stream management (XEP-0198).
    var streamManagement = false
    /// Bytes of the largest stanza (XEP-0478), if it is told.
    var maximumBytes: Int?

    static let bidiFeatureNamespace = "urn:xmpp:features:bidi"
    static let bidiNamespace = "urn:xmpp:bidi"

    init() {}

    /// Reads what a peer offers; what is not known is passed over.
    init(_ element: Element) {
        for child in element.childElements {
            switch (child.name, child.namespace) {
            case ("starttls", Namespace.tls):
                self.startTLS = true
                self.isTLSRequired = child.childElements.contains { $0.name == "required" }
            case ("mechanisms", Namespace.sasl):
                self.external = child.childElements.contains { $0.name == "mechanism" && $0.text == "EXTERNAL" }
            case ("dialback", DialbackElement.featureNamespace):
                self.dialback = true
                self.dialbackErrors = child.childElements.contains { $0.name == "errors" }
            case ("bidi", Self.bidiFeatureNamespace): self.bidi = true
            case ("sm", Namespace.streamManagement): self.streamManagement = true
            case ("limits", Namespace.streamLimits):
                let text = child.childElements.first { $0.name == "max-bytes" }?.text
                self.maximumBytes = text.flatMap { Int($0) }
            default: break
            }
        }
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<stream:features>")
        if self.startTLS {
            buffer.writeStaticString("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>")
            if self.isTLSRequired { buffer.writeStaticString("<required/>") }
            buffer.writeStaticString("</starttls>")
        }
        if self.external {
            buffer.writeStaticString(
                "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
            )
        }
        if self.dialback {
            buffer.writeStaticString("<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>")
        }
        if self.bidi { buffer.writeStaticString("<bidi xmlns='urn:xmpp:features:bidi'/>") }
        if self.streamManagement { buffer.writeStaticString("<sm xmlns='urn:xmpp:sm:3'/>") }
        if let maximumBytes {
            buffer.writeString(
                "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>\(maximumBytes)</max-bytes></limits>"
            )
        }
        buffer.writeStaticString("</stream:features>")
    }
}
