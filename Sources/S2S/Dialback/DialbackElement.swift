// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// What servers say to each other in dialback (XEP-0220 version 1.1): `<db:result/>` and `<db:verify/>`.
struct DialbackElement: Equatable, Sendable {
    enum Kind: String, Sendable {
        case result
        case verify
    }

    /// What is said: a key, or an answer to one.
    enum Content: Equatable, Sendable {
        case key(String)
        case valid
        case invalid
        /// The key could not be judged (XEP-0220 §2.4); the stream goes on.
        case error(StanzaError)
    }

    static let namespace = "jabber:server:dialback"
    static let featureNamespace = "urn:xmpp:features:dialback"

    var kind: Kind
    /// Prepared.
    var to: String
    var from: String
    /// The id of the stream that the key is for, in `<db:verify/>`.
    var id: String?
    var content: Content

    init(_ kind: Kind, to: String, from: String, id: String? = nil, _ content: Content) {
        self.kind = kind
        self.to = to
        self.from = from
        self.id = id
        self.content = content
    }

    /// Reads an element of the namespace; nil if it is none, or its addresses are no domains.
    init?(_ element: StreamElement) {
        guard element.namespace == Self.namespace, let kind = Kind(rawValue: element.name),
            let to = Self.domain(element["to"]), let from = Self.domain(element["from"]),
            let tree = try? element.element()
        else { return nil }
        self.kind = kind
        self.to = to
        self.from = from
        self.id = element["id"]
        if kind == .verify, self.id == nil { return nil }
        switch element["type"] {
        case nil: self.content = .key(tree.text.trimmingASCIISpaces())
        case "valid": self.content = .valid
        case "invalid": self.content = .invalid
        case "error":
            let error = tree.childElements.first { $0.name == "error" }.map(Self.error)
            self.content = .error(error ?? StanzaError(.undefinedCondition))
        default: return nil
        }
    }

    private static func domain(_ text: String?) -> String? {
        guard let text, let address = try? JID(text), address.isBare, address.local == nil else { return nil }
        return address.domain
    }

    /// The `<error/>` is in whatever namespace the peer has as its default.
    private static func error(_ element: Element) -> StanzaError {
        var element = element
        element.namespace = Namespace.client
        return StanzaError(element) ?? StanzaError(.undefinedCondition)
    }

    /// As it is sent.
    var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        self.write(to: &buffer)
        return buffer
    }

    private func write(to buffer: inout ByteBuffer) {
        buffer.writeString("<db:\(self.kind.rawValue)")
        XMLEscape.writeAttribute("to", self.to, to: &buffer)
        XMLEscape.writeAttribute("from", self.from, to: &buffer)
        if let id { XMLEscape.writeAttribute("id", id, to: &buffer) }
        switch self.content {
        case .key(let key):
            buffer.writeStaticString(">")
            XMLEscape.writeText(key, to: &buffer)
        case .valid: buffer.writeStaticString(" type='valid'>")
        case .invalid: buffer.writeStaticString(" type='invalid'>")
        case .error(let error):
            buffer.writeStaticString(" type='error'>")
            // Its name inherits `jabber:server`, the default namespace of the stream.
            error.element().write(to: &buffer, inheriting: Namespace.client)
        }
        buffer.writeString("</db:\(self.kind.rawValue)>")
    }
}

extension String {
    /// Without the white space of XML at both ends.
    fileprivate func trimmingASCIISpaces() -> String {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
        guard let first = self.utf8.firstIndex(where: { !isSpace($0) }),
            let last = self.utf8.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(self[first...last])
    }
}
