// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Walks over the attributes of a start tag as it is written; names and values are places in its bytes.
///
/// For what has passed an edge: it refuses what it cannot read, but it is no judge of XML. It makes no strings, so
/// that a hop which needs two attributes of a stanza pays for two.
struct AttributeCursor {
    /// How a tag ends.
    enum End: Equatable {
        /// `>`, with the offset behind it.
        case open(Int)
        /// `/>`, with the offset behind it.
        case empty(Int)
    }

    /// Where the name of the current attribute is.
    private(set) var name = 0..<0
    /// Where its value is, without the quotes.
    private(set) var value = 0..<0
    /// The value means what it says: no reference, no white space but the space.
    private(set) var isPlain = true
    /// How the tag ended; nil while attributes are left, and when the tag cannot be read.
    private(set) var end: End?
    private var index: Int

    /// A cursor behind the element's name.
    init(at index: Int) {
        self.index = index
    }

    /// Moves to the next attribute; false at the end of the tag, or where it cannot be read (`end` is nil then).
    mutating func next(_ bytes: Span<UInt8>) -> Bool {
        let count = bytes.count
        let spaceStart = self.index
        self.skipWhiteSpace(bytes)
        guard self.index < count else { return false }
        switch bytes[self.index] {
        case UInt8(ascii: ">"):
            self.end = .open(self.index + 1)
            return false
        case UInt8(ascii: "/"):
            if self.index + 1 < count, bytes[self.index + 1] == UInt8(ascii: ">") { self.end = .empty(self.index + 2) }
            return false
        default:
            guard self.index > spaceStart else { return false }
        }
        self.name = Self.nameEnd(bytes, from: self.index)
        self.index = self.name.upperBound
        self.skipWhiteSpace(bytes)
        guard !self.name.isEmpty, self.index < count, bytes[self.index] == UInt8(ascii: "=") else { return false }
        self.index += 1
        self.skipWhiteSpace(bytes)
        return self.takeValue(bytes)
    }

    private mutating func takeValue(_ bytes: Span<UInt8>) -> Bool {
        guard self.index < bytes.count else { return false }
        let quote = bytes[self.index]
        guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return false }
        let start = self.index + 1
        var end = start
        var isPlain = true
        while end < bytes.count {
            end = bytes.firstSpecial(inValueFrom: end, to: bytes.count, quote: quote)
            if end == bytes.count { break }
            let byte = bytes[end]
            if byte == quote {
                self.value = start..<end
                self.isPlain = isPlain
                self.index = end + 1
                return true
            }
            if byte == UInt8(ascii: "&") || byte < 0x20 { isPlain = false }
            end += 1
        }
        return false
    }

    private mutating func skipWhiteSpace(_ bytes: Span<UInt8>) {
        while self.index < bytes.count, MarkupScanner.isWhiteSpace(bytes[self.index]) { self.index += 1 }
    }

    /// The name that begins at an offset, of an element or an attribute.
    static func nameEnd(_ bytes: Span<UInt8>, from start: Int) -> Range<Int> {
        var end = start
        scan: while end < bytes.count {
            switch bytes[end] {
            case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "'"), UInt8(ascii: "\""),
                UInt8(ascii: "<"), UInt8(ascii: "&"), UInt8(ascii: ">"):
                break scan
            default: end += 1
            }
        }
        return start..<end
    }
}

extension Span<UInt8> {
    /// The decimal number at a place; nil if it is none, or does not fit.
    func number(_ range: Range<Int>) -> UInt64? {
        guard !range.isEmpty, range.count <= 20, range.upperBound <= self.count else { return nil }
        var number: UInt64 = 0
        for index in range {
            let digit = self[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            guard !overflow, !carry else { return nil }
            number = sum
        }
        return number
    }
}

extension ByteBuffer {
    /// The text at a place, counted from the reader index; empty if it is not within the readable bytes.
    package func string(_ range: Range<Int>) -> String {
        self.getString(at: self.readerIndex + range.lowerBound, length: range.count) ?? ""
    }

    /// A slice, its offsets counted from the reader index; empty if it is not within the readable bytes.
    func slice(_ range: Range<Int>) -> ByteBuffer {
        self.getSlice(at: self.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
    }
}
