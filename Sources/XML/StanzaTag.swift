// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// The start tag of a stanza (RFC 6120 §8.1) as written: where its five common attributes are, counted from `<`.
///
/// It reads what is simple, which is nearly everything: a name without a prefix, no declaration, no attribute but the
/// five, values that mean what they say. All else is nil, and for a reader that makes strings (`StreamElement`).
package struct StanzaTag: Sendable {
    /// The kinds of stanza.
    package enum Kind: Sendable {
        case message, presence, iq
    }

    package let kind: Kind
    package private(set) var to: Range<Int>?
    package private(set) var from: Range<Int>?
    package private(set) var type: Range<Int>?
    package private(set) var id: Range<Int>?
    package private(set) var lang: Range<Int>?
    /// From behind the name to behind the last attribute.
    package private(set) var attributes = 0..<0
    /// The offset behind the tag.
    package private(set) var end = 0
    /// Whether it is an empty-element tag.
    package private(set) var isEmpty = false

    private static let message = Array("message".utf8)
    private static let presence = Array("presence".utf8)
    private static let iq = Array("iq".utf8)
    private static let fromName = Array("from".utf8)
    private static let typeName = Array("type".utf8)
    private static let langName = Array("xml:lang".utf8)

    /// Reads the tag that the readable bytes begin with.
    package init?(_ buffer: ByteBuffer) {
        let bytes = buffer.readableBytesUInt8Span
        guard bytes.count > 4, bytes[0] == UInt8(ascii: "<") else { return nil }
        let name = AttributeCursor.nameEnd(bytes, from: 1)
        if bytes.matches(name, Self.message) {
            self.kind = .message
        } else if bytes.matches(name, Self.presence) {
            self.kind = .presence
        } else if bytes.matches(name, Self.iq) {
            self.kind = .iq
        } else {
            return nil
        }
        var cursor = AttributeCursor(at: name.upperBound)
        var last = name.upperBound
        while cursor.next(bytes) {
            guard cursor.isPlain, self.take(cursor.name, cursor.value, bytes) else { return nil }
            last = cursor.value.upperBound + 1
        }
        self.attributes = name.upperBound..<last
        switch cursor.end {
        case .open(let end): self.end = end
        case .empty(let end):
            self.end = end
            self.isEmpty = true
        case nil: return nil
        }
    }

    /// Where the content ends, if the bytes are this stanza to their last: its own end tag, plainly written, is the end
    /// of them. Nil if they end otherwise.
    package func contentEnd(in buffer: ByteBuffer) -> Int? {
        let bytes = buffer.readableBytesUInt8Span
        if self.isEmpty { return bytes.count == self.end ? self.end : nil }
        let endTag =
            switch self.kind {
            case .message: Self.messageEnd
            case .presence: Self.presenceEnd
            case .iq: Self.iqEnd
            }
        let start = bytes.count - endTag.count
        return start >= self.end && bytes.matches(start..<bytes.count, endTag) ? start : nil
    }

    /// Whether it is an IQ that wants an answer.
    package func isRequest(in buffer: ByteBuffer) -> Bool {
        guard self.kind == .iq, let type else { return false }
        let bytes = buffer.readableBytesUInt8Span
        return bytes.matches(type, Self.get) || bytes.matches(type, Self.set)
    }

    private static let get = Array("get".utf8)
    private static let set = Array("set".utf8)
    private static let messageEnd = Array("</message>".utf8)
    private static let presenceEnd = Array("</presence>".utf8)
    private static let iqEnd = Array("</iq>".utf8)

    private mutating func take(_ name: Range<Int>, _ value: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        switch (name.count, bytes[name.lowerBound]) {
        case (2, UInt8(ascii: "t")) where bytes[name.lowerBound + 1] == UInt8(ascii: "o"): self.to = value
        case (2, UInt8(ascii: "i")) where bytes[name.lowerBound + 1] == UInt8(ascii: "d"): self.id = value
        case (4, UInt8(ascii: "f")) where bytes.matches(name, Self.fromName): self.from = value
        case (4, UInt8(ascii: "t")) where bytes.matches(name, Self.typeName): self.type = value
        case (8, UInt8(ascii: "x")) where bytes.matches(name, Self.langName): self.lang = value
        default: return false
        }
        return true
    }
}
