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

    private let buffer: ByteBuffer
    private var index: Int
    private let end: Int

    /// `range` covers the tag from `<` to `>`, counted from the buffer's reader index.
    init?(_ buffer: ByteBuffer, _ range: Range<Int>) {
        self.buffer = buffer
        self.index = range.lowerBound + 1
        self.end = range.upperBound - 1
        guard range.lowerBound >= 0, self.index < self.end, self.end < buffer.readableBytes else { return nil }
        let bytes = buffer.readableBytesUInt8Span
        let name = self.takeName(bytes)
        guard !name.isEmpty else { return nil }
        self.name = name
        guard self.readAttributes(bytes) else { return nil }
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

    private mutating func readAttributes(_ bytes: Span<UInt8>) -> Bool {
        while true {
            let hasSpace = self.skipWhiteSpace(bytes)
            guard self.index < self.end else { return true }
            if bytes[self.index] == UInt8(ascii: "/") {
                return self.index == self.end - 1
            }
            guard hasSpace else { return false }
            let name = self.takeName(bytes)
            _ = self.skipWhiteSpace(bytes)
            guard !name.isEmpty, self.index < self.end, bytes[self.index] == UInt8(ascii: "=") else { return false }
            self.index += 1
            _ = self.skipWhiteSpace(bytes)
            guard let value = self.takeValue(bytes) else { return false }
            if name == "xmlns" {
                self.defaultNamespace = value
            } else {
                self.attributes.append(TagAttribute(name: name, value: value))
            }
        }
    }

    private mutating func skipWhiteSpace(_ bytes: Span<UInt8>) -> Bool {
        let start = self.index
        while self.index < self.end, MarkupScanner.isWhiteSpace(bytes[self.index]) { self.index += 1 }
        return self.index > start
    }

    private mutating func takeName(_ bytes: Span<UInt8>) -> String {
        let start = self.index
        scan: while self.index < self.end {
            switch bytes[self.index] {
            case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "'"), UInt8(ascii: "\""),
                UInt8(ascii: "<"), UInt8(ascii: "&"):
                break scan
            default: self.index += 1
            }
        }
        return self.string(start..<self.index)
    }

    private func string(_ range: Range<Int>) -> String {
        self.buffer.getString(at: self.buffer.readerIndex + range.lowerBound, length: range.count) ?? ""
    }

    private mutating func takeValue(_ bytes: Span<UInt8>) -> String? {
        guard self.index < self.end else { return nil }
        let quote = bytes[self.index]
        guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
        let start = self.index + 1
        var isPlain = true
        self.index = start
        while self.index < self.end, bytes[self.index] != quote {
            let byte = bytes[self.index]
            if byte == UInt8(ascii: "&") || byte < 0x20 { isPlain = false }
            self.index += 1
        }
        guard self.index < self.end else { return nil }
        let value = start..<self.index
        self.index += 1
        guard !isPlain else { return self.string(value) }
        let view = self.buffer.readableBytesView
        return Self.normalise(view[view.startIndex + value.lowerBound..<view.startIndex + value.upperBound])
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
    /// Name and namespace. Only the tag's own declarations, what `scope` tells of a prefix, and the inherited default
    /// namespace count; a namespace that is not told is nil.
    func resolved(inheriting namespace: String, scope: (String) -> String?) -> (name: String, namespace: String?) {
        guard let colon = self.name.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            return (self.name, self.defaultNamespace ?? namespace)
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
            contentNamespace: self.defaultNamespace,
            attributes: self.attributes
        )
    }
}
