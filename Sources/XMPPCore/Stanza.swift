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

    package let kind: Kind
    package var to: JID? { didSet { if to != oldValue { written = nil } } }
    package var from: JID? {
        didSet {
            guard from != oldValue else { return }
            if oldValue == nil, written != nil { isFromAdded = true } else { written = nil }
            addedFrom = nil
        }
    }
    package var type: String? { didSet { if type != oldValue { written = nil } } }
    package var id: String? { didSet { if id != oldValue { written = nil } } }
    package var lang: String? {
        didSet {
            guard lang != oldValue else { return }
            if oldValue == nil, written != nil { isLangAdded = true } else { written = nil }
        }
    }

    /// What else the start tag had, `xmlns:x` declarations among it.
    package var otherAttributes: [TagAttribute] { didSet { written = nil } }

    /// The children as bytes, self-contained in the content namespace.
    package private(set) var payload: ByteBuffer

    /// The attributes as they were read, with the space before them, as long as they hold: an envelope that nobody
    /// changes is forwarded as it is. `from` and `lang` may be added to it.
    private var written: ByteBuffer?
    private var isFromAdded = false
    /// The attribute `from` as it is added, if its bytes are known.
    private var addedFrom: ByteBuffer?
    private var isLangAdded = false

    /// Name and namespace of the first child element; a child in the content namespace is in `jabber:client`.
    package var payloadTag: (name: String, namespace: String)? {
        StreamElement.firstTag(in: payload, inheriting: Namespace.client)
    }

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

    /// A stanza from a child of a stream's root. `jids` remembers addresses between stanzas.
    package init(_ element: StreamElement, jids: JIDCache? = nil) throws(StanzaFault) {
        if element.hasOwnTag, Namespace.isContent(element.namespace), let tag = StanzaTag(element.bytes) {
            try self.init(tag, in: element.bytes, content: element.content, jids: jids)
        } else {
            try self.init(
                name: element.name,
                namespace: element.namespace,
                attributes: element.attributes,
                content: element.content
            )
        }
    }

    /// A stanza from the child of a `<j:route>`.
    package init(route tag: StreamElementTag) throws(StanzaFault) {
        try self.init(name: tag.name, namespace: tag.namespace, attributes: tag.attributes, content: tag.content)
    }

    /// The stanza that is all of a wrapper's content, written by one of our own; nil for anything else, which may be
    /// one in another form.
    package init?(wrapped bytes: ByteBuffer, jids: JIDCache? = nil) {
        guard let tag = StanzaTag(bytes) else { return nil }
        guard let end = tag.contentEnd(in: bytes),
            let content = bytes.getSlice(at: bytes.readerIndex + tag.end, length: end - tag.end),
            let stanza = try? Stanza(tag, in: bytes, content: content, jids: jids)
        else { return nil }
        self = stanza
    }

    private init(
        name: String,
        namespace: String,
        attributes: [TagAttribute],
        content: ByteBuffer
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
    }

    /// A stanza with a simple start tag, which it keeps if its addresses are prepared.
    private init(
        _ tag: StanzaTag,
        in bytes: ByteBuffer,
        content: ByteBuffer,
        jids: JIDCache?
    ) throws(StanzaFault) {
        let text = { (place: Range<Int>?) -> String? in
            place.flatMap { bytes.getString(at: bytes.readerIndex + $0.lowerBound, length: $0.count) }
        }
        let jids = jids ?? JIDCache(bits: 1)
        self.init(kind: Kind(tag.kind))
        var isPrepared = true
        if let place = tag.to {
            do throws(JIDError) {
                let found = try jids.jid(bytes, place)
                (self.to, isPrepared) = (found.jid, found.isPrepared)
            } catch { throw .malformedTo(text(place) ?? "") }
        }
        if let place = tag.from {
            do throws(JIDError) {
                let found = try jids.jid(bytes, place)
                self.from = found.jid
                isPrepared = isPrepared && found.isPrepared
            } catch { throw .malformedFrom(text(place) ?? "") }
        }
        self.type = text(tag.type)
        self.id = text(tag.id)
        self.lang = text(tag.lang)
        self.payload = content
        if isPrepared {
            self.written = bytes.getSlice(
                at: bytes.readerIndex + tag.attributes.lowerBound,
                length: tag.attributes.count
            )
        }
    }

    /// Writes the stanza; it inherits the content namespace of the stream.
    package func write(to buffer: inout ByteBuffer) {
        buffer.writeStaticString(kind.startTag)
        if let written {
            if isFromAdded, let addedFrom {
                buffer.writeImmutableBuffer(addedFrom)
            } else if isFromAdded, let from {
                XMLEscape.writeAttribute("from", from.description, to: &buffer)
            }
            if isLangAdded, let lang { XMLEscape.writeAttribute("xml:lang", lang, to: &buffer) }
            buffer.writeImmutableBuffer(written)
        } else {
            writeAttributes(to: &buffer)
        }
        guard self.payload.readableBytes > 0 else {
            buffer.writeStaticString("/>")
            return
        }
        buffer.writeStaticString(">")
        buffer.writeImmutableBuffer(self.payload)
        buffer.writeStaticString(kind.endTag)
    }

    private func writeAttributes(to buffer: inout ByteBuffer) {
        if let to { XMLEscape.writeAttribute("to", to.description, to: &buffer) }
        if let from { XMLEscape.writeAttribute("from", from.description, to: &buffer) }
        if let type { XMLEscape.writeAttribute("type", type, to: &buffer) }
        if let id { XMLEscape.writeAttribute("id", id, to: &buffer) }
        if let lang { XMLEscape.writeAttribute("xml:lang", lang, to: &buffer) }
        for attribute in self.otherAttributes {
            XMLEscape.writeAttribute(attribute.name, attribute.value, to: &buffer)
        }
    }

    /// Sets the sender, whose attribute (`StanzaSender`) was written before.
    package mutating func setSender(_ sender: StanzaSender) {
        self.from = sender.jid
        if isFromAdded { addedFrom = sender.attribute }
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
        element.write(to: &self.payload, inheriting: Namespace.client)
    }

    /// Adds children as bytes, self-contained in the content namespace.
    package mutating func append(bytes: ByteBuffer) {
        self.payload.writeImmutableBuffer(bytes)
    }

    /// Adds a child that `write` appends, of about so many bytes; self-contained in the content namespace.
    package mutating func append(bytes count: Int, write: (inout ByteBuffer) -> Void) {
        self.payload.reserveCapacity(minimumWritableBytes: count)
        write(&self.payload)
    }

    /// Takes all children away.
    package mutating func removePayload() {
        self.payload = ByteBuffer()
    }
}

extension Stanza.Kind {
    fileprivate init(_ kind: StanzaTag.Kind) {
        switch kind {
        case .message: self = .message
        case .presence: self = .presence
        case .iq: self = .iq
        }
    }

    fileprivate var startTag: StaticString {
        switch self {
        case .message: "<message"
        case .presence: "<presence"
        case .iq: "<iq"
        }
    }

    fileprivate var endTag: StaticString {
        switch self {
        case .message: "</message>"
        case .presence: "</presence>"
        case .iq: "</iq>"
        }
    }
}

/// Why the child of a stream's root is no stanza.
package enum StanzaFault: Error, Sendable, Equatable {
    /// Not one of the three kinds, or not in a content namespace.
    case unknownKind
    case malformedTo(String)
    case malformedFrom(String)
}
