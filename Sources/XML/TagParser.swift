// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Reads a start tag as written, without resolving prefixes.
///
/// For what has passed an edge: it refuses what it cannot read, but it is no judge of XML.
struct TagParser {
    /// The name with its prefix.
    private(set) var name = ""
    /// The attributes with their names as written, without a plain `xmlns`.
    private(set) var attributes: [TagAttribute] = []
    /// The plain `xmlns`.
    private(set) var defaultNamespace: String?

    /// Reads the start tag that the readable bytes begin with.
    init?(_ buffer: ByteBuffer) {
        let bytes = buffer.readableBytesUInt8Span
        guard bytes.count > 1, bytes[0] == UInt8(ascii: "<") else { return nil }
        let name = AttributeCursor.nameEnd(bytes, from: 1)
        guard !name.isEmpty else { return nil }
        self.name = buffer.string(name)
        var cursor = AttributeCursor(at: name.upperBound)
        while cursor.next(bytes) {
            guard let value = Self.value(of: cursor, in: buffer) else { return nil }
            if cursor.name.count == 5, bytes.matches(cursor.name, Self.xmlns) {
                self.defaultNamespace = value
            } else {
                self.attributes.append(TagAttribute(name: buffer.string(cursor.name), value: value))
            }
        }
        guard cursor.end != nil else { return nil }
    }

    private static let xmlns = Array("xmlns".utf8)

    /// The value of the attribute that a cursor is at; nil if a reference in it is unknown.
    static func value(of cursor: AttributeCursor, in buffer: ByteBuffer) -> String? {
        guard !cursor.isPlain else { return buffer.string(cursor.value) }
        let view = buffer.readableBytesView
        return Self.normalise(
            view[view.startIndex + cursor.value.lowerBound..<view.startIndex + cursor.value.upperBound]
        )
    }

    /// The name in a start or end tag, as written.
    static func writtenName(_ buffer: ByteBuffer, _ range: Range<Int>) -> String {
        let bytes = buffer.readableBytesView
        let tag = bytes[bytes.startIndex + range.lowerBound..<bytes.startIndex + range.upperBound].dropFirst()
        let name = (tag.first == UInt8(ascii: "/") ? tag.dropFirst() : tag).prefix { byte in
            !MarkupScanner.isWhiteSpace(byte) && byte != UInt8(ascii: "/") && byte != UInt8(ascii: ">")
        }
        return String(decoding: name, as: UTF8.self)
    }

    /// Name and namespace of the first element in the content of one in `namespace`; nil if there is none.
    static func firstTag(in content: ByteBuffer, inheriting namespace: String) -> (name: String, namespace: String)? {
        guard content.readableBytes > 0 else { return nil }
        var scanner = MarkupScanner(judges: false)
        while true {
            switch scanner.next(content.readableBytesUInt8Span) {
            case .startTag(let tag), .emptyTag(let tag):
                guard let parsed = TagParser(content.slice(tag)) else { return nil }
                let resolved = parsed.resolved(inheriting: namespace)
                return (resolved.name, resolved.namespace ?? "")
            case .text: continue
            case .endTag, .declaration, .incomplete, .refused: return nil
            }
        }
    }

    /// References resolved and white space made spaces (XML 1.0 §3.3.3); nil if a reference is unknown.
    private static func normalise(_ value: ByteBufferView) -> String? {
        var text: [UInt8] = []
        text.reserveCapacity(value.count)
        var index = value.startIndex
        while index < value.endIndex {
            let byte = value[index]
            index += 1
            switch byte {
            case UInt8(ascii: "&"):
                guard let end = value[index...].firstIndex(of: UInt8(ascii: ";")),
                    let scalar = self.resolve(value[index..<end])
                else { return nil }
                text.append(contentsOf: Array(String(Character(scalar)).utf8))
                index = end + 1
            case 0x0D:
                // Line ends are line feeds before anything else (XML 1.0 §2.11).
                if index < value.endIndex, value[index] == 0x0A { index += 1 }
                text.append(0x20)
            case 0x09, 0x0A: text.append(0x20)
            default: text.append(byte)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func resolve(_ name: ByteBufferView) -> Unicode.Scalar? {
        guard name.first == UInt8(ascii: "#") else {
            switch String(decoding: name, as: UTF8.self) {
            case "lt": return "<"
            case "gt": return ">"
            case "amp": return "&"
            case "apos": return "'"
            case "quot": return "\""
            default: return nil
            }
        }
        let digits = name.dropFirst()
        let isHexadecimal = digits.first == UInt8(ascii: "x")
        let text = String(decoding: isHexadecimal ? digits.dropFirst() : digits, as: UTF8.self)
        guard text.utf8.first != UInt8(ascii: "+"),
            let value = UInt32(text, radix: isHexadecimal ? 16 : 10), let scalar = Unicode.Scalar(value)
        else { return nil }
        return scalar
    }
}

extension TagParser {
    /// Name and namespace. Only the tag's own declarations, the prefixes that are fixed on internal links, and the
    /// inherited default namespace count; a namespace that is not told is nil.
    func resolved(inheriting namespace: String) -> (name: String, namespace: String?) {
        guard let colon = self.name.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            return (self.name, self.defaultNamespace ?? namespace)
        }
        let prefix = String(self.name[..<colon])
        let local = String(self.name[self.name.utf8.index(after: colon)...])
        return (local, self.attributes.value(of: "xmlns:" + prefix) ?? StreamRoot.namespace(ofPrefix: prefix))
    }

    /// The tag as the header of a stream, which declares its own prefix.
    var header: StreamHeader {
        let resolved = self.resolved(inheriting: "")
        let colon = self.name.utf8.firstIndex(of: UInt8(ascii: ":"))
        let prefix = colon.map { String(self.name[..<$0]) }
        let declared = prefix.map { self.attributes.value(of: "xmlns:" + $0) } ?? resolved.namespace
        return StreamHeader(
            namespace: declared ?? "",
            name: resolved.name,
            contentNamespace: self.defaultNamespace,
            attributes: self.attributes
        )
    }
}
