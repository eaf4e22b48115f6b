// SPDX-License-Identifier: Apache-2.0

package import XMPPCore

/// What an ``OwnershipMap`` needs to know of a user: the 64 bit FNV-1a hash of the bare JID's UTF-8 bytes.
///
/// All processes must agree on it, whatever their version: it never changes.
package struct OwnershipKey: Hashable, Sendable {
    @usableFromInline static let offsetBasis: UInt64 = 0xCBF2_9CE4_8422_2325
    @usableFromInline static let prime: UInt64 = 0x0000_0100_0000_01B3

    package private(set) var hash = OwnershipKey.offsetBasis

    /// Hashes the bytes of a prepared bare JID, `local@domain`.
    @inlinable package init(_ bytes: some Sequence<UInt8>) {
        var hash = OwnershipKey.offsetBasis
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* OwnershipKey.prime }
        self.init(hash: hash)
    }

    /// Hashes the address as its description is written, without making that.
    package init(_ user: BareJID) {
        if let local = user.local {
            append(local)
            append(UInt8(ascii: "@"))
        }
        append(user.domain)
    }

    @usableFromInline init(hash: UInt64) {
        self.hash = hash
    }

    private mutating func append(_ text: String) {
        let bytes = text.utf8.span
        for index in bytes.indices { append(bytes[index]) }
    }

    private mutating func append(_ byte: UInt8) {
        hash = (hash ^ UInt64(byte)) &* Self.prime
    }
}
