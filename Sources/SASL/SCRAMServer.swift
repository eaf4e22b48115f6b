// SPDX-License-Identifier: Apache-2.0

/// The arithmetic of SCRAM on the server's side between the client's first and last message (RFC 5802 section 3).
struct SCRAMServer: Sendable {
    let hash: SCRAMHash
    let first: SCRAMClientFirst
    /// What the client must be bound to; empty without channel binding.
    let bindingData: [UInt8]
    /// The server's part of the nonce.
    let nonce: String
    /// Credentials of the user, or of the decoy.
    var credentials: SCRAMCredentials?
    /// False for a decoy, which never gets in.
    var isKnown = false

    init(hash: SCRAMHash, first: SCRAMClientFirst, bindingData: [UInt8], nonce: String) {
        self.hash = hash
        self.first = first
        self.bindingData = bindingData
        self.nonce = nonce
    }

    /// The server's first message.
    var serverFirst: String {
        "r=\(first.nonce)\(nonce),s=\(Digest.base64(credentials?.salt ?? [])),i=\(credentials?.iterations ?? 0)"
    }

    /// Verifies the client's last message and gives the server's signature in base64.
    ///
    /// Every check is made before one fails, so that the time tells nothing.
    func verify(_ bytes: [UInt8]) throws(SASLFailure) -> String {
        let final = try SCRAMClientFinal(bytes)
        guard let credentials, final.proof.count == hash.byteCount else { throw .malformedRequest }
        let message = Array("\(first.bare),\(serverFirst),\(final.withoutProof)".utf8)
        let clientSignature = Digest.hmac(hash, key: credentials.storedKey, message)
        let clientKey = zip(final.proof, clientSignature).map { $0 ^ $1 }
        let expectedBinding = Array(first.gs2Header.utf8) + bindingData

        let rightBinding = Digest.constantTimeEqual(final.channelBinding, expectedBinding)
        let rightNonce = Digest.constantTimeEqual(Array(final.nonce.utf8), Array((first.nonce + nonce).utf8))
        let rightKey = Digest.constantTimeEqual(Digest.hash(clientKey, hash), credentials.storedKey)
        let signature = Digest.hmac(hash, key: credentials.serverKey, message)
        guard rightBinding, rightNonce, rightKey, isKnown else { throw .notAuthorized }
        return Digest.base64(signature)
    }
}
