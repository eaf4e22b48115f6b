// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Reads a start tag as written, without resolving prefixes.
///
/// For what has passed an edge: it refuses what it cannot read, but it is no judge of XML.
struct TagParser {
    /// The name with its prefix.
    private(set) var name = ""
    /// All attributes with their names as written, a plain `xmlns` among them.
    private(set) var attributes: [TagAttribute] = []

    private let bytes: ByteBufferView
    private var index: Int
    private let end: Int

    /// `range` covers the tag from `<` to `>`, counted from the buffer's reader index.
    init?(_ buffer: ByteBuffer, _ range: Range<Int>) {
        self.bytes = buffer.readableBytesView
        self.index = self.bytes.startIndex + range.lowerBound + 1
        self.end = self.bytes.startIndex + range.upperBound - 1
        guard range.lowerBound >= 0, self.index < self.end, self.end < self.bytes.endIndex else { return nil }
        let name = self.takeName()
        guard !name.isEmpty else { return nil }
        self.name = name
        guard self.readAttributes() else { return nil }
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

    private mutating func readAttributes() -> Bool {
        while true {
            let hasSpace = self.skipWhiteSpace()
            guard self.index < self.end else { return true }
            if self.bytes[self.index] == UInt8(ascii: "/") {
                return self.index == self.end - 1
            }
            guard hasSpace else { return false }
            let name = self.takeName()
            _ = self.skipWhiteSpace()
            guard !name.isEmpty, self.index < self.end, self.bytes[self.index] == UInt8(ascii: "=") else {
                return false
            }
            self.index += 1
            _ = self.skipWhiteSpace()
            guard let value = self.takeValue() else { return false }
            self.attributes.append(TagAttribute(name: name, value: value))
        }
    }

    private mutating func skipWhiteSpace() -> Bool {
        let start = self.index
        while self.index < self.end, MarkupScanner.isWhiteSpace(self.bytes[self.index]) { self.index += 1 }
        return self.index > start
    }

    private mutating func takeName() -> String {
        let start = self.index
        scan: while self.index < self.end {
            switch self.bytes[self.index] {
            case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "'"), UInt8(ascii: "\""),
                UInt8(ascii: "<"), UInt8(ascii: "&"):
                break scan
            default: self.index += 1
            }
        }
        return String(decoding: self.bytes[start..<self.index], as: UTF8.self)
    }

    private mutating func takeValue() -> String? {
        guard self.index < self.end else { return nil }
        let quote = self.bytes[self.index]
        guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
        let start = self.index + 1
        var isPlain = true
        self.index = start
        while self.index < self.end, self.bytes[self.index] != quote {
            let byte = self.bytes[self.index]
            if byte == UInt8(ascii: "&") || byte < 0x20 { isPlain = false }
            self.index += 1
        }
        guard self.index < self.end else { return nil }
        let value = self.bytes[start..<self.index]
        self.index += 1
        return isPlain ? String(decoding: value, as: UTF8.self) : Self.normalise(value)
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
    /// The attributes without a plain `xmlns`.
    var otherAttributes: [TagAttribute] { self.attributes.filter { $0.name != "xmlns" } }

    /// Name and namespace. Only the tag's own declarations, what `scope` tells of a prefix, and the inherited default
    /// namespace count; a namespace that is not told is nil.
    func resolved(inheriting namespace: String, scope: (String) -> String?) -> (name: String, namespace: String?) {
        guard let colon = self.name.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            return (self.name, self.attributes.value(of: "xmlns") ?? namespace)
        }
        let prefix = String(self.name[..<colon])
        let local = String(self.name[self.name.utf8.index(after: colon)...])
        return (local, self.attributes.value(of: "xmlns:" + prefix) ?? scope(prefix))
    }

    /// The tag as the header of a stream.
    var header: StreamHeader {
        let resolved = self.resolved(inheriting: "") { _ in nil }
        return StreamHeader(
            namespace: resolved.namespace ?? "",
            name: resolved.name,
            contentNamespace: self.attributes.value(of: "xmlns"),
            attributes: self.otherAttributes
        )
    }
}
