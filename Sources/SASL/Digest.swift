// SPDX-License-Identifier: Apache-2.0
//
// The only file of this target that calls OpenSSL; what leaves it are byte arrays.

import COpenSSL

/// Hashes, keyed hashes, key derivation, randomness and comparison in constant time.
package enum Digest {
    /// SHA-1, for the component handshake (XEP-0114) and the hashes that old protocols ask for.
    package static func sha1(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, .sha1) }
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, .sha256) }
    package static func sha512(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, .sha512) }

    /// The hash of the bytes.
    package static func hash(_ bytes: [UInt8], _ hash: SCRAMHash) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: hash.byteCount)
        var count: UInt32 = 0
        let result = unsafe EVP_Digest(bytes, bytes.count, &output, &count, algorithm(hash), nil)
        // OpenSSL fails here for want of memory only; to go on with an empty hash would let anyone in.
        precondition(result == 1 && Int(count) == output.count)
        return output
    }

    /// HMAC (RFC 2104).
    package static func hmac(_ hash: SCRAMHash, key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: hash.byteCount)
        var count: UInt32 = 0
        // A key of no bytes must not be a null pointer, which OpenSSL takes for "the key of before".
        let safeKey = key.isEmpty ? [0] : key
        let keyLength = Int32(clamping: key.count)
        let result = unsafe HMAC(algorithm(hash), safeKey, keyLength, bytes, bytes.count, &output, &count)
        precondition(unsafe result != nil && Int(count) == output.count)
        return output
    }

    /// PBKDF2 (RFC 8018) with HMAC, as long as the hash: `Hi` of RFC 5802.
    ///
    /// It takes milliseconds and does not yield: never call it on an event loop, but on a thread pool.
    package static func pbkdf2(_ hash: SCRAMHash, password: [UInt8], salt: [UInt8], iterations: Int) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: hash.byteCount)
        let result = unsafe password.withUnsafeBytes { bytes in
            unsafe PKCS5_PBKDF2_HMAC(
                bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                Int32(clamping: password.count),
                salt,
                Int32(clamping: salt.count),
                Int32(clamping: max(iterations, 1)),
                algorithm(hash),
                Int32(clamping: output.count),
                &output
            )
        }
        precondition(result == 1)
        return output
    }

    /// Random bytes from OpenSSL's generator.
    package static func randomBytes(_ count: Int) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: max(count, 0))
        // A generator that fails must never yield predictable names, salts or nonces.
        precondition(unsafe RAND_bytes(&output, Int32(clamping: output.count)) == 1)
        return output
    }

    /// 128 random bits in lower case base32: names of sessions, tokens, epochs.
    package static func randomName() -> String { base32(randomBytes(16)) }

    /// Compares in a time that depends on the lengths alone.
    package static func constantTimeEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        return unsafe CRYPTO_memcmp(one, other, one.count) == 0
    }

    // Fetched once: `EVP_sha256()` has OpenSSL look for its implementation at each use, which takes longer than to hash
    // a short text. They are never changed or freed, and OpenSSL lets every thread use them.
    private nonisolated(unsafe) static let fetchedSHA1 = unsafe EVP_MD_fetch(nil, "SHA1", nil)
    private nonisolated(unsafe) static let fetchedSHA256 = unsafe EVP_MD_fetch(nil, "SHA256", nil)
    private nonisolated(unsafe) static let fetchedSHA512 = unsafe EVP_MD_fetch(nil, "SHA512", nil)

    fileprivate static func algorithm(_ hash: SCRAMHash) -> OpaquePointer? {
        switch hash {
        case .sha1: unsafe fetchedSHA1
        case .sha256: unsafe fetchedSHA256
        case .sha512: unsafe fetchedSHA512
        }
    }
}

/// SHA-256 of many short texts, one after the other: it keeps the context that `Digest.sha256` makes and frees each time,
/// which costs more than the hash itself. For one thread at a time.
@safe package final class SHA256Context {
    private let context: OpaquePointer

    /// Makes the context; OpenSSL fails there for want of memory only.
    package init() {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
        precondition(unsafe EVP_DigestInit_ex2(context, Digest.algorithm(.sha256), nil) == 1)
        unsafe self.context = context
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
    }

    /// The hash of the bytes.
    package func hash(_ bytes: [UInt8]) -> InlineArray<32, UInt8> {
        var output = InlineArray<32, UInt8>(repeating: 0)
        var span = output.mutableSpan
        let isDone = unsafe span.withUnsafeMutableBytes { output in
            // No algorithm: the one of before.
            unsafe EVP_DigestInit_ex2(context, nil, nil) == 1
                && EVP_DigestUpdate(context, bytes, bytes.count) == 1
                && EVP_DigestFinal_ex(context, output.baseAddress, nil) == 1
        }
        precondition(isDone)
        return output
    }
}
