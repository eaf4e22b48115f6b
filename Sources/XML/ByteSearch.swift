// SPDX-License-Identifier: Apache-2.0

/// Searches that look at eight bytes at a time; what they pass over is most of what is read.
extension Span<UInt8> {
    /// Where the next `<` is, or the end.
    func firstMarkup(from start: Int) -> Int {
        var index = start
        while index + 8 <= self.count, !Word(self, at: index).contains(UInt8(ascii: "<")) { index += 8 }
        while index < self.count, self[index] != UInt8(ascii: "<") { index += 1 }
        return index
    }

    /// Where the next `<` or `&` is, or the end.
    func firstMarkupOrReference(from start: Int) -> Int {
        var index = start
        while index + 8 <= self.count {
            let word = Word(self, at: index)
            if word.contains(UInt8(ascii: "<")) || word.contains(UInt8(ascii: "&")) { break }
            index += 8
        }
        while index < self.count, self[index] != UInt8(ascii: "<"), self[index] != UInt8(ascii: "&") { index += 1 }
        return index
    }

    /// Within the value of an attribute: an index before which all is plain, so that the next byte worth a look is there
    /// or a little later: its quote, `<`, `&`, a control character or what is not ASCII.
    func firstSpecial(inValueFrom start: Int, to end: Int, quote: UInt8) -> Int {
        var index = start
        while index + 8 <= end {
            let word = Word(self, at: index)
            if word.contains(quote) || word.contains(UInt8(ascii: "<")) || word.contains(UInt8(ascii: "&"))
                || word.hasControlOrHigh
            {
                break
            }
            index += 8
        }
        return index
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
private struct Word {
    private let bits: UInt64

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The bytes at an offset, of which there must be eight.
    @inline(__always)
    init(_ bytes: Span<UInt8>, at offset: Int) {
        // The order of the bytes does not matter to the questions. The load checks its bounds.
        bits = unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let difference = bits ^ (Self.ones &* UInt64(byte))
        return (difference &- Self.ones) & ~difference & Self.highs != 0
    }

    /// Whether one byte is here where the other is in the word that starts one byte later; rarely true where it is not.
    @inline(__always)
    func isFollowed(_ byte: UInt8, by other: UInt8, in next: Word) -> Bool {
        let difference = (bits ^ (Self.ones &* UInt64(byte))) | (next.bits ^ (Self.ones &* UInt64(other)))
        return (difference &- Self.ones) & ~difference & Self.highs != 0
    }

    /// A byte below 0x20 or above 0x7F.
    @inline(__always)
    var hasControlOrHigh: Bool {
        ((bits &- Self.ones &* 0x20) | bits) & Self.highs != 0
    }
}
