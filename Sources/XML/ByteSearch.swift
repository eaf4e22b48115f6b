// SPDX-License-Identifier: Apache-2.0

/// Searches that look at eight bytes at a time; what they pass over is most of what is read.
extension Span<UInt8> {
    /// Where the next `<` is, or the end.
    func firstMarkup(from start: Int) -> Int {
        var index = start
        while index + 8 <= self.count {
            let hits = Word(self, at: index).hits(UInt8(ascii: "<"))
            if hits != 0 { return index + Word.first(hits) }
            index += 8
        }
        while index < self.count, self[index] != UInt8(ascii: "<") { index += 1 }
        return index
    }

    /// Where the next `<` or `&` is, or the end.
    func firstMarkupOrReference(from start: Int) -> Int {
        var index = start
        while index + 8 <= self.count {
            let word = Word(self, at: index)
            let hits = word.hits(UInt8(ascii: "<")) | word.hits(UInt8(ascii: "&"))
            if hits != 0 { return index + Word.first(hits) }
            index += 8
        }
        while index < self.count, self[index] != UInt8(ascii: "<"), self[index] != UInt8(ascii: "&") { index += 1 }
        return index
    }

    /// Within the value of an attribute: the next byte that is worth a look, or one of the last seven before the end: its
    /// quote, `<`, `&`, a control character or what is not ASCII.
    func firstSpecial(inValueFrom start: Int, to end: Int, quote: UInt8) -> Int {
        var index = start
        while index + 8 <= end {
            let word = Word(self, at: index)
            let hits =
                word.hits(quote) | word.hits(UInt8(ascii: "<")) | word.hits(UInt8(ascii: "&")) | word.controlOrHighHits
            if hits != 0 { return index + Word.first(hits) }
            index += 8
        }
        return index
    }

    /// Whether the bytes at a place are these.
    func matches(_ range: Range<Int>, _ other: [UInt8]) -> Bool {
        let count = other.count
        guard range.count == count, range.upperBound <= self.count else { return false }
        let start = range.lowerBound
        let bytes = other.span
        guard count >= 8 else {
            for offset in 0..<count where self[start + offset] != bytes[offset] { return false }
            return true
        }
        var offset = 0
        while offset + 8 <= count {
            if Word(self, at: start + offset) != Word(bytes, at: offset) { return false }
            offset += 8
        }
        // The last eight, some of them once more.
        return Word(self, at: start + count - 8) == Word(bytes, at: count - 8)
    }

    /// Whether the bytes occur, two of them or more: where the first two are, the others are looked at.
    package func contains(_ needle: [UInt8]) -> Bool {
        guard needle.count >= 2 else { preconditionFailure("needles have two bytes") }
        var start = 0
        while start + 9 <= self.count {
            if Word(self, at: start).isFollowed(needle[0], by: needle[1], in: Word(self, at: start + 1)) {
                for index in start..<start + 8 where self.isAt(index, needle) { return true }
            }
            start += 8
        }
        while start + needle.count <= self.count {
            if self.isAt(start, needle) { return true }
            start += 1
        }
        return false
    }

    private func isAt(_ start: Int, _ needle: [UInt8]) -> Bool {
        guard start + needle.count <= self.count else { return false }
        for offset in needle.indices where self[start + offset] != needle[offset] { return false }
        return true
    }
}

/// Eight bytes, asked all at once (the tricks of Hacker's Delight, §6-1).
///
/// An answer has the highest bit of each byte that it is true for. Borrows can make it true for bytes behind such a one
/// as well, never for one before it: whether there is one, and which is the first, is exact.
private struct Word: Equatable {
    private let bits: UInt64

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The bytes at an offset, of which there must be eight: the first one is the lowest.
    @inline(__always)
    init(_ bytes: Span<UInt8>, at offset: Int) {
        // The load checks its bounds.
        bits = UInt64(littleEndian: unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The place of the first byte that an answer is true for, which must be one.
    @inline(__always)
    static func first(_ hits: UInt64) -> Int { hits.trailingZeroBitCount / 8 }

    /// This byte.
    @inline(__always)
    func hits(_ byte: UInt8) -> UInt64 {
        let difference = bits ^ (Self.ones &* UInt64(byte))
        return (difference &- Self.ones) & ~difference & Self.highs
    }

    /// One byte here and the other in the word that starts one byte later.
    @inline(__always)
    func isFollowed(_ byte: UInt8, by other: UInt8, in next: Word) -> Bool {
        let difference = (bits ^ (Self.ones &* UInt64(byte))) | (next.bits ^ (Self.ones &* UInt64(other)))
        return (difference &- Self.ones) & ~difference & Self.highs != 0
    }

    /// A byte below 0x20 or above 0x7F.
    @inline(__always)
    var controlOrHighHits: UInt64 {
        ((bits &- Self.ones &* 0x20) | bits) & Self.highs
    }
}
