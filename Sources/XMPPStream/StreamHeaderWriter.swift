// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML

/// The header of a stream that we open: the XML declaration and the root's start tag (RFC 6120 section 4.7).
package struct StreamHeaderWriter: Equatable, Sendable {
    /// The namespace of the root (RFC 6120 section 4.8.1).
    package static let streamNamespace = "http://etherx.jabber.org/streams"

    /// The namespace of the stanzas, declared as the default (RFC 6120 section 4.8.2).
    package var contentNamespace: String
    package var id: String?
    package var from: String?
    package var to: String?
    /// `1.0` for clients and servers; nil for XEP-0114, which has none.
    package var version: String?
    package var language: String?
    /// Further prefixes to declare, with their namespaces.
    package var prefixes: [TagAttribute]

    package init(
        contentNamespace: String,
        id: String? = nil,
        from: String? = nil,
        to: String? = nil,
        version: String? = "1.0",
        language: String? = nil,
        prefixes: [TagAttribute] = []
    ) {
        self.contentNamespace = contentNamespace
        self.id = id
        self.from = from
        self.to = to
        self.version = version
        self.language = language
        self.prefixes = prefixes
    }

    /// Writes the declaration and the start tag.
    package func write(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<?xml version='1.0'?><stream:stream")
        let attributes: [(String, String?)] = [
            ("xmlns", contentNamespace), ("xmlns:stream", Self.streamNamespace), ("id", id), ("from", from),
            ("to", to), ("version", version), ("xml:lang", language),
        ]
        for case (let name, let value?) in attributes {
            XMLEscape.writeAttribute(name, value, to: &buffer)
        }
        for prefix in prefixes {
            XMLEscape.writeAttribute("xmlns:\(prefix.name)", prefix.value, to: &buffer)
        }
        buffer.writeStaticString(">")
    }

    /// Writes the end tag of a stream.
    package static func writeClose(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("</stream:stream>")
    }
}
