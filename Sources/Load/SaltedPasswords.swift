// SPDX-License-Identifier: Apache-2.0

import SASL

/// The salted passwords of SCRAM (RFC 5802 section 3) by salt and iterations: a client may keep them, and the generator
/// does, so that its logins after the first cost no key derivation.
///
/// Confined to the generator's event loop.
final class SaltedPasswords {
    private struct Key: Hashable {
        let hash: SCRAMHash
        let password: String
        let salt: [UInt8]
        let iterations: Int
    }

    private var known: [Key: [UInt8]] = [:]
    private(set) var derivations = 0

    func salted(_ hash: SCRAMHash, password: String, salt: [UInt8], iterations: Int) -> [UInt8] {
        let key = Key(hash: hash, password: password, salt: salt, iterations: iterations)
        if let bytes = known[key] { return bytes }
        derivations += 1
        let bytes = Digest.pbkdf2(hash, password: Array(password.utf8), salt: salt, iterations: iterations)
        known[key] = bytes
        return bytes
    }
}
