// SPDX-License-Identifier: Apache-2.0

package import XMPPCore

/// The hash functions that SCRAM is used with (RFC 5802, RFC 7677, draft-melnikov-scram-sha-512).
package enum SCRAMHash: String, CaseIterable, Hashable, Sendable {
    case sha1 = "SHA-1"
    case sha256 = "SHA-256"
    case sha512 = "SHA-512"

    package var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }
}

/// What is stored of a password: enough to verify it, too little to use it (RFC 5802 section 3).
package struct SCRAMCredentials: Hashable, Sendable {
    package var hash: SCRAMHash
    package var iterations: Int
    package var salt: [UInt8]
    package var storedKey: [UInt8]
    package var serverKey: [UInt8]

    package init(hash: SCRAMHash, iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.hash = hash
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// Derives the verifier of a password, which it prepares by OpaqueString (RFC 8265 section 4).
    ///
    /// It takes milliseconds (`Digest.pbkdf2`): never call it on an event loop, but on a thread pool.
    package static func derive(
        password: String,
        hash: SCRAMHash,
        salt: [UInt8] = Digest.randomBytes(16),
        iterations: Int
    ) throws(PRECIS.Failure) -> SCRAMCredentials {
        derive(prepared: try PRECIS.opaqueString(password), hash: hash, salt: salt, iterations: iterations)
    }

    /// Derives the verifier of a password that is prepared already; the same caution holds.
    package static func derive(
        prepared password: String,
        hash: SCRAMHash,
        salt: [UInt8],
        iterations: Int
    ) -> SCRAMCredentials {
        let salted = Digest.pbkdf2(hash, password: Array(password.utf8), salt: salt, iterations: iterations)
        return SCRAMCredentials(
            hash: hash,
            iterations: iterations,
            salt: salt,
            storedKey: Digest.hash(Digest.hmac(hash, key: salted, Array("Client Key".utf8)), hash),
            serverKey: Digest.hmac(hash, key: salted, Array("Server Key".utf8))
        )
    }

    /// What stands in for the credentials of a user who does not exist: the same for the same address at every try, and
    /// known by nobody who does not know the server's secret.
    ///
    /// - Parameters:
    ///   - username: the local part, prepared.
    ///   - domain: the domain; the same name at another one must look like another user.
    ///   - hash: the hash of the verifier.
    ///   - iterations: what users who exist may show. Each name gets one of them, the same for all hashes.
    ///   - secret: the key that makes it unpredictable.
    /// - Returns: credentials that no password matches.
    package static func decoy(
        username: String,
        domain: String,
        hash: SCRAMHash,
        iterations: [Int],
        secret: [UInt8]
    ) -> SCRAMCredentials {
        func derived(_ purpose: String, _ hash: SCRAMHash) -> [UInt8] {
            Digest.hmac(hash, key: secret, Array("\(purpose)\0\(hash.rawValue)\0\(username)\0\(domain)".utf8))
        }
        let choice = derived("iterations", .sha256).prefix(4).reduce(0) { $0 << 8 | Int($1) }
        return SCRAMCredentials(
            hash: hash,
            iterations: iterations.isEmpty ? 1 : iterations[choice % iterations.count],
            salt: Array(derived("salt", hash).prefix(16)),
            storedKey: derived("stored key", hash),
            serverKey: derived("server key", hash)
        )
    }

    /// Whether these are the credentials of the password, which must be prepared.
    ///
    /// It takes milliseconds (`Digest.pbkdf2`): never call it on an event loop, but on a thread pool. For a user who
    /// does not exist call it on the decoy and drop the result, so that the cost is the same.
    package func matches(prepared password: String) -> Bool {
        let other = SCRAMCredentials.derive(prepared: password, hash: hash, salt: salt, iterations: iterations)
        return Digest.constantTimeEqual(other.storedKey, storedKey)
    }
}
