// SPDX-License-Identifier: Apache-2.0

import SASL

/// The keys of server dialback (XEP-0185 version 1.0): whoever has the secret can make and check them, so that the key
/// of one instance is proved by another.
struct DialbackKey: Sendable {
    /// `hex(SHA-256(secret))`, which is the key of the HMAC.
    private let secret: [UInt8]

    init(secret: String) {
        self.secret = Array(Digest.hex(Digest.sha256(Array(secret.utf8))).utf8)
    }

    /// The key with which `originating` proves itself to `receiving` on the stream of this id.
    func key(receiving: String, originating: String, streamID: String) -> String {
        let text = "\(receiving) \(originating) \(streamID)"
        return Digest.hex(Digest.hmac(.sha256, key: self.secret, Array(text.utf8)))
    }

    /// Whether the key is ours, found out in constant time.
    func isGood(_ key: String, receiving: String, originating: String, streamID: String) -> Bool {
        let expected = self.key(receiving: receiving, originating: originating, streamID: streamID)
        return Digest.constantTimeEqual(Array(expected.utf8), Array(key.utf8))
    }
}
