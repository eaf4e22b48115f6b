// SPDX-License-Identifier: Apache-2.0

/// The hash of the bare addresses of sender and receiver, the same in every router and at any time.
///
/// Rendezvous hashing: of several receivers the one with the highest score is chosen. FNV-1a and the last step of
/// MurmurHash3, which spreads what FNV leaves close together.
struct StableHash {
    private let pair: UInt64

    /// Takes addresses with or without a resource.
    init(_ from: String, _ to: String) {
        var hash = Self.offset
        Self.add(from.utf8.prefix { $0 != UInt8(ascii: "/") }, to: &hash)
        // No address has this byte.
        Self.add(CollectionOfOne(0), to: &hash)
        Self.add(to.utf8.prefix { $0 != UInt8(ascii: "/") }, to: &hash)
        self.pair = hash
    }

    /// What speaks for one of the receivers.
    func score(_ name: String) -> UInt64 {
        var hash = self.pair
        Self.add(CollectionOfOne(0), to: &hash)
        Self.add(name.utf8, to: &hash)
        hash ^= hash >> 33
        hash = hash &* 0xff51_afd7_ed55_8ccd
        hash ^= hash >> 33
        hash = hash &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ (hash >> 33)
    }

    private static let offset: UInt64 = 0xcbf2_9ce4_8422_2325

    private static func add(_ bytes: some Sequence<UInt8>, to hash: inout UInt64) {
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }
}
