// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML

/// A stanza as the suite carries it: the envelope as values, the payload as bytes (RFC 6120 §8).
///
/// The stanza's namespace is the content namespace of whatever stream carries it. In trees (`payloadElements`,
/// `append`) that namespace is called `jabber:client`, whatever the stream.
package struct Stanza: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case message
        case presence
        case iq
    }

    package var kind: Kind
    package var to: JID?
    package var from: JID?
    package var type: String?
    package var id: String?
    package var lang: String?

    /// What else the start tag had, `xmlns:x` declarations among it.
    package var otherAttributes: [TagAttribute]

    /// The children as bytes, self-contained in the content namespace.
    package private(set) var payload: ByteBuffer

    /// Name and namespace of the first child element; a child in the content namespace is in `jabber:client`.
    package private(set) var payloadTag: (name: String, namespace: String)?

    package init(
        kind: Kind,
        to: JID? = nil,
        from: JID? = nil,
        type: String? = nil,
        id: String? = nil,
        lang: String? = nil,
        payload elements: [Element] = []
    ) {
        self.kind = kind
        self.to = to
        self.from = from
        self.type = type
        self.id = id
        self.lang = lang
        self.otherAttributes = []
        self.payload = ByteBuffer()
        for element in elements {
            self.append(element)
        }
    }

    /// A stanza from a child of a stream's root.
    package init(_ element: StreamElement) throws(StanzaFault) {
        try self.init(
            name: element.name,
            namespace: element.namespace,
            attributes: element.attributes,
            content: element.content,
            payload: element.payload
        )
    }

    /// A stanza from the child of a `<j:route>`.
    package init(route tag: StreamElementTag) throws(StanzaFault) {
        try self.init(
            name: tag.name,
            namespace: tag.namespace,
            attributes: tag.attributes,
            content: tag.content,
            payload: tag.payload
        )
    }

    private init(
        name: String,
        namespace: String,
        attributes: [TagAttribute],
        content: ByteBuffer,
        payload: (name: String, namespace: String)?
    ) throws(StanzaFault) {
        guard let kind = Kind(rawValue: name), Namespace.isContent(namespace) else { throw .unknownKind }
        self.init(kind: kind)
        for attribute in attributes {
            switch attribute.name {
            case "to":
                do { self.to = try JID(attribute.value) } catch { throw .malformedTo(attribute.value) }
            case "from":
                do { self.from = try JID(attribute.value) } catch { throw .malformedFrom(attribute.value) }
            case "type": self.type = attribute.value
            case "id": self.id = attribute.value
            case "xml:lang": self.lang = attribute.value
            default: self.otherAttributes.append(attribute)
            }
        }
        self.payload = content
        if let payload {
            let isContent = payload.namespace == namespace
            self.payloadTag = (payload.name, isContent ? Namespace.client : payload.namespace)
        }
    }

    /// Writes the stanza; it inherits the content namespace of the stream.
    package func write(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<")
        buffer.writeString(self.kind.rawValue)
        if let to { XMLEscape.writeAttribute("to", to.description, to: &buffer) }
        if let from { XMLEscape.writeAttribute("from", from.description, to: &buffer) }
        if let type { XMLEscape.writeAttribute("type", type, to: &buffer) }
        if let id { XMLEscape.writeAttribute("id", id, to: &buffer) }
        if let lang { XMLEscape.writeAttribute("xml:lang", lang, to: &buffer) }
        for attribute in self.otherAttributes {
            XMLEscape.writeAttribute(attribute.name, attribute.value, to: &buffer)
        }
        guard self.payload.readableBytes > 0 else {
            buffer.writeStaticString("/>")
            return
        }
        buffer.writeStaticString(">")
        buffer.writeImmutableBuffer(self.payload)
        buffer.writeStaticString("</")
        buffer.writeString(self.kind.rawValue)
        buffer.writeStaticString(">")
    }

    /// About how many bytes `write` produces, for buffers and quotas.
    package var encodedSize: Int {
        var size = 2 * self.kind.rawValue.utf8.count + 5 + self.payload.readableBytes
        for jid in [self.to, self.from] {
            guard let jid else { continue }
            size += 8 + jid.domain.utf8.count + (jid.local?.utf8.count ?? -1) + (jid.resource?.utf8.count ?? -1) + 2
        }
        size +=
            (self.type?.utf8.count ?? -8) + 8 + (self.id?.utf8.count ?? -6) + 6 + (self.lang?.utf8.count ?? -12) + 12
        for attribute in self.otherAttributes {
            size += attribute.name.utf8.count + attribute.value.utf8.count + 4
        }
        return size
    }

    /// The child elements, parsed.
    package func payloadElements() throws(XMLParseError) -> [Element] {
        var elements: [Element] = []
        for case .element(let element) in try Element.parseFragment(self.payload, namespace: Namespace.client) {
            elements.append(element)
        }
        return elements
    }

    /// The first child element with this name and namespace, parsed.
    package func payloadElement(_ name: String, _ namespace: String) throws(XMLParseError) -> Element? {
        try self.payloadElements().first { $0.name == name && $0.namespace == namespace }
    }

    /// Adds a child. An element in `jabber:client` goes into the content namespace.
    package mutating func append(_ element: Element) {
        if self.payloadTag == nil {
            self.payloadTag = (element.name, element.namespace)
        }
        element.write(to: &self.payload, inheriting: Namespace.client)
    }

    /// Adds children as bytes, self-contained in the content namespace. `tag` names the first of them.
    package mutating func append(bytes: ByteBuffer, tag: (name: String, namespace: String)?) {
        if self.payloadTag == nil {
            self.payloadTag = tag
        }
        self.payload.writeImmutableBuffer(bytes)
    }

    /// Takes all children away.
    package mutating func removePayload() {
        self.payload = ByteBuffer()
        self.payloadTag = nil
    }
}

/// Why the child of a stream's root is no stanza.
package enum StanzaFault: Error, Sendable, Equatable {
    /// Not one of the three kinds, or not in a content namespace.
    case unknownKind
    case malformedTo(String)
    case malformedFrom(String)
}
