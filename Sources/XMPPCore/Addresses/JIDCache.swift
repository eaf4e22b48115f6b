// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Addresses that were parsed lately, by the bytes that they were parsed from.
///
/// The same few addresses come again and again, and to look one up costs a fifth of parsing it. Bounded: a newcomer
/// takes the place of whoever hashes alike, and a long address is not kept. Confined to the event loop of its owner.
package final class JIDCache {
    private struct Entry {
        let bytes: [UInt8]
        let jid: JID
        let isPrepared: Bool
    }

    private var entries: [Entry?]
    private let mask: Int
    private static let longest = 256

    /// Makes a cache of `1 << bits` places.
    package init(bits: Int = 10) {
        self.entries = Array(repeating: nil, count: 1 << bits)
        self.mask = (1 << bits) - 1
    }

    /// The address at a place of a buffer, counted from its reader index, and whether it was written as it is after
    /// preparation (RFC 7622), so that its bytes may stay.
    package func jid(_ buffer: ByteBuffer, _ place: Range<Int>) throws(JIDError) -> (jid: JID, isPrepared: Bool) {
        let bytes = buffer.readableBytesUInt8Span
        guard place.lowerBound >= 0, place.upperBound <= bytes.count, place.count <= Self.longest else {
            return try Self.parse(buffer, place)
        }
        let key = bytes.extracting(place)
        let index = Self.hash(key) & self.mask
        if let entry = self.entries[index], Self.isSame(entry.bytes.span, key) { return (entry.jid, entry.isPrepared) }
        let parsed = try Self.parse(buffer, place)
        var copy: [UInt8] = []
        copy.reserveCapacity(key.count)
        for offset in key.indices { copy.append(key[offset]) }
        self.entries[index] = Entry(bytes: copy, jid: parsed.jid, isPrepared: parsed.isPrepared)
        return parsed
    }

    private static func parse(
        _ buffer: ByteBuffer,
        _ place: Range<Int>
    ) throws(JIDError) -> (jid: JID, isPrepared: Bool) {
        let text = buffer.getString(at: buffer.readerIndex + place.lowerBound, length: place.count) ?? ""
        let jid = try JID(text)
        return (jid, jid.description.utf8.elementsEqual(text.utf8))
    }

    /// FNV-1a; who makes addresses collide on purpose makes them be parsed, as without a cache.
    private static func hash(_ bytes: Span<UInt8>) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in bytes.indices {
            hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3
        }
        return Int(truncatingIfNeeded: hash ^ (hash >> 32))
    }

    private static func isSame(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        for index in one.indices where one[index] != other[index] { return false }
        return true
    }
}
