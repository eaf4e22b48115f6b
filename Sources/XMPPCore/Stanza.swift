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

    /// What a stanza consists of. A stanza is passed from hand to hand, and has a dozen parts to retain: so copies share
    /// the parts until one of them changes.
    ///
    /// Sendable although it has variables: nobody but `Stanza` reaches it, and `Stanza` changes it only when it is the
    /// one that holds it (`change`).
    private final class Parts: @unchecked Sendable {
        var to: JID?
        var from: JID?
        var type: String?
        var id: String?
        var lang: String?
        var otherAttributes: [TagAttribute] = []
        var payload = ByteBuffer()
        /// The attributes as they were read, with the space before them, as long as they hold: an envelope that nobody
        /// changes is forwarded as it is. What was not among them may be added.
        var written: ByteBuffer?
        var added: AddedAttributes = []
        /// The attribute `from` as it is added, if its bytes are known.
        var addedFrom: ByteBuffer?

        init() {}

        init(copyOf other: Parts) {
            to = other.to
            from = other.from
            type = other.type
            id = other.id
            lang = other.lang
            otherAttributes = other.otherAttributes
            payload = other.payload
            written = other.written
            added = other.added
            addedFrom = other.addedFrom
        }

        /// An attribute was set: what was written holds if it was not there before.
        func attributeChanged(_ attribute: AddedAttributes, wasThere: Bool) {
            guard written != nil else { return }
            if wasThere { written = nil } else { added.insert(attribute) }
        }
    }

    private struct AddedAttributes: OptionSet {
        let rawValue: UInt8
        static let to = AddedAttributes(rawValue: 1)
        static let from = AddedAttributes(rawValue: 2)
        static let lang = AddedAttributes(rawValue: 4)
    }

    package let kind: Kind
    private var parts = Parts()

    /// The parts, held by this stanza alone.
    private mutating func change() -> Parts {
        if !isKnownUniquelyReferenced(&parts) { parts = Parts(copyOf: parts) }
        return parts
    }

    package var to: JID? {
        get { parts.to }
        set {
            guard newValue != parts.to else { return }
            let parts = change()
            parts.attributeChanged(.to, wasThere: parts.to != nil)
            parts.to = newValue
        }
    }

    package var from: JID? {
        get { parts.from }
        set {
            guard newValue != parts.from else { return }
            let parts = change()
            parts.attributeChanged(.from, wasThere: parts.from != nil)
            parts.from = newValue
            parts.addedFrom = nil
        }
    }

    package var type: String? {
        get { parts.type }
        set {
            guard newValue != parts.type else { return }
            let parts = change()
            parts.type = newValue
            parts.written = nil
        }
    }

    package var id: String? {
        get { parts.id }
        set {
            guard newValue != parts.id else { return }
            let parts = change()
            parts.id = newValue
            parts.written = nil
        }
    }

    package var lang: String? {
        get { parts.lang }
        set {
            guard newValue != parts.lang else { return }
            let parts = change()
            parts.attributeChanged(.lang, wasThere: parts.lang != nil)
            parts.lang = newValue
        }
    }

    /// What else the start tag had, `xmlns:x` declarations among it.
    package var otherAttributes: [TagAttribute] {
        get { parts.otherAttributes }
        set {
            let parts = change()
            parts.otherAttributes = newValue
            parts.written = nil
        }
    }

    /// The children as bytes, self-contained in the content namespace.
    package var payload: ByteBuffer { parts.payload }

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
        parts.to = to
        parts.from = from
        parts.type = type
        parts.id = id
        parts.lang = lang
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
                do { parts.to = try JID(attribute.value) } catch { throw .malformedTo(attribute.value) }
            case "from":
                do { parts.from = try JID(attribute.value) } catch { throw .malformedFrom(attribute.value) }
            case "type": parts.type = attribute.value
            case "id": parts.id = attribute.value
            case "xml:lang": parts.lang = attribute.value
            default: parts.otherAttributes.append(attribute)
            }
        }
        parts.payload = content
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
                (parts.to, isPrepared) = (found.jid, found.isPrepared)
            } catch { throw .malformedTo(text(place) ?? "") }
        }
        if let place = tag.from {
            do throws(JIDError) {
                let found = try jids.jid(bytes, place)
                parts.from = found.jid
                isPrepared = isPrepared && found.isPrepared
            } catch { throw .malformedFrom(text(place) ?? "") }
        }
        parts.type = text(tag.type)
        parts.id = text(tag.id)
        parts.lang = text(tag.lang)
        parts.payload = content
        if isPrepared {
            parts.written = bytes.getSlice(
                at: bytes.readerIndex + tag.attributes.lowerBound,
                length: tag.attributes.count
            )
        }
    }

    /// Writes the stanza; it inherits the content namespace of the stream.
    package func write(to buffer: inout ByteBuffer) {
        let parts = self.parts
        buffer.writeStaticString(kind.startTag)
        if let written = parts.written {
            if !parts.added.isEmpty { writeAdded(to: &buffer) }
            buffer.writeImmutableBuffer(written)
        } else {
            writeAttributes(to: &buffer)
        }
        guard parts.payload.readableBytes > 0 else {
            buffer.writeStaticString("/>")
            return
        }
        buffer.writeStaticString(">")
        buffer.writeImmutableBuffer(parts.payload)
        buffer.writeStaticString(kind.endTag)
    }

    private func writeAdded(to buffer: inout ByteBuffer) {
        let added = parts.added
        if added.contains(.to), let to { XMLEscape.writeAttribute("to", to.description, to: &buffer) }
        if added.contains(.from) {
            if let addedFrom = parts.addedFrom {
                buffer.writeImmutableBuffer(addedFrom)
            } else if let from {
                XMLEscape.writeAttribute("from", from.description, to: &buffer)
            }
        }
        if added.contains(.lang), let lang { XMLEscape.writeAttribute("xml:lang", lang, to: &buffer) }
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
        if parts.added.contains(.from) { change().addedFrom = sender.attribute }
    }

    /// The same, in memory of its own: what stays must not keep a whole read buffer alive.
    package func compacted() -> Stanza {
        let isLoose = Self.isLoose(parts.payload) || parts.written.map(Self.isLoose) ?? false
        guard isLoose else { return self }
        var copy = self
        let parts = copy.change()
        parts.payload = ByteBuffer(bytes: parts.payload.readableBytesView)
        if let written = parts.written { parts.written = ByteBuffer(bytes: written.readableBytesView) }
        return copy
    }

    private static func isLoose(_ buffer: ByteBuffer) -> Bool {
        buffer.storageCapacity > 2 * buffer.readableBytes + 512
    }

    /// About how many bytes `write` produces, for buffers and quotas: exact where nothing is escaped.
    package var encodedSize: Int {
        let parts = self.parts
        var size = 2 * kind.startTag.utf8CodeUnitCount + 3 + parts.payload.readableBytes
        if let written = parts.written {
            size += written.readableBytes
            if parts.added.contains(.to) { size += Self.size(of: parts.to, named: 2) }
            if parts.added.contains(.from) { size += Self.size(of: parts.from, named: 4) }
            return size
        }
        size += Self.size(of: parts.to, named: 2) + Self.size(of: parts.from, named: 4)
        if let type { size += type.utf8.count + 8 }
        if let id { size += id.utf8.count + 6 }
        if let lang { size += lang.utf8.count + 12 }
        for attribute in parts.otherAttributes { size += attribute.name.utf8.count + attribute.value.utf8.count + 4 }
        return size
    }

    private static func size(of jid: JID?, named nameBytes: Int) -> Int {
        guard let jid else { return 0 }
        var size = nameBytes + 4 + jid.domain.utf8.count
        if let local = jid.local { size += local.utf8.count + 1 }
        if let resource = jid.resource { size += resource.utf8.count + 1 }
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
        element.write(to: &change().payload, inheriting: Namespace.client)
    }

    /// Adds children as bytes, self-contained in the content namespace.
    package mutating func append(bytes: ByteBuffer) {
        change().payload.writeImmutableBuffer(bytes)
    }

    /// Adds a child that `write` appends, of about so many bytes; self-contained in the content namespace.
    package mutating func append(bytes count: Int, write: (inout ByteBuffer) -> Void) {
        let parts = change()
        parts.payload.reserveCapacity(minimumWritableBytes: count)
        write(&parts.payload)
    }

    /// Takes all children away.
    package mutating func removePayload() {
        change().payload = ByteBuffer()
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
