// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import SASL

@Suite struct DigestTests {
    /// FIPS 180-4 examples.
    @Test func `hashes are those of the standard`() {
        let abc = Array("abc".utf8)
        #expect(Digest.hex(Digest.sha1(abc)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(
            Digest.hex(Digest.sha256(abc)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
        #expect(Digest.hex(Digest.sha512(abc)).hasPrefix("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"))
        #expect(Digest.hex(Digest.sha1([])) == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    }

    /// RFC 2202 and RFC 4231 test case 2, and a key of no bytes.
    @Test func `keyed hashes are those of the standard`() {
        let message = Array("what do ya want for nothing?".utf8)
        let key = Array("Jefe".utf8)
        #expect(Digest.hex(Digest.hmac(.sha1, key: key, message)) == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
        #expect(
            Digest.hex(Digest.hmac(.sha256, key: key, message))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        )
        #expect(Digest.hex(Digest.hmac(.sha1, key: [], [])) == "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d")
    }

    /// RFC 6070.
    @Test(arguments: [
        (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"), (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        (4096, "4b007901b765489abead49d926f721d065a429c1"),
    ])
    func `key derivation is that of RFC 6070`(iterations: Int, expected: String) {
        let key = Digest.pbkdf2(
            .sha1,
            password: Array("password".utf8),
            salt: Array("salt".utf8),
            iterations: iterations
        )
        #expect(Digest.hex(key) == expected)
    }

    /// RFC 4648 section 10.
    @Test(arguments: [
        ("", "", ""), ("f", "Zg==", "my"), ("fo", "Zm8=", "mzxq"), ("foo", "Zm9v", "mzxw6"),
        ("foob", "Zm9vYg==", "mzxw6yq"), ("fooba", "Zm9vYmE=", "mzxw6ytb"), ("foobar", "Zm9vYmFy", "mzxw6ytboi"),
    ])
    func `base64 and base32 are those of RFC 4648`(text: String, base64: String, base32: String) {
        #expect(Digest.base64(Array(text.utf8)) == base64)
        #expect(Digest.base32(Array(text.utf8)) == base32)
        #expect(Digest.base64Decode(base64) == Array(text.utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=", "==", "====", "Zm=v", "Zm 9v", "Zm9v\n", "Zm9-", "Zm9_",
        "Zg==Zg==", "Zmäv",
    ])
    func `base64 that is not exact is refused`(text: String) {
        #expect(Digest.base64Decode(text) == nil)
    }

    @Test func `base64 of random bytes comes back`() {
        for count in 0..<200 {
            let bytes = Digest.randomBytes(count)
            #expect(Digest.base64Decode(Digest.base64(bytes)) == bytes)
        }
    }

    @Test func `random names are 26 letters of base32 and differ`() {
        let names = (0..<1000).map { _ in Digest.randomName() }
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.utf8.count == 26 })
    }

    @Test func `comparison looks at all bytes`() {
        #expect(Digest.constantTimeEqual([], []))
        #expect(Digest.constantTimeEqual([1, 2, 3], [1, 2, 3]))
        #expect(!Digest.constantTimeEqual([1, 2, 3], [1, 2, 4]))
        #expect(!Digest.constantTimeEqual([1, 2, 3], [0, 2, 3]))
        #expect(!Digest.constantTimeEqual([1, 2], [1, 2, 3]))
    }
}
