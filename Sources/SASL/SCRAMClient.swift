// SPDX-License-Identifier: Apache-2.0

/// The client's side of SCRAM (RFC 5802), for tools and tests.
package struct SCRAMClient: Sendable {
    /// How the client treats channel binding.
    package enum Binding: Hashable, Sendable {
        case unsupported
        case supportedButNotOffered
        case used(type: String, data: [UInt8])
    }

    /// Why the client gives up.
    package enum Failure: Error, Hashable, Sendable {
        case malformedServerMessage
        case nonceMismatch
        case wrongServerSignature
    }

    private let hash: SCRAMHash
    private let username: String
    private let password: String
    private let nonce: String
    private let binding: Binding
    private let authzid: String?
    private var serverSignature: [UInt8] = []

    /// The password is prepared by the caller.
    package init(
        hash: SCRAMHash,
        username: String,
        password: String,
        nonce: String,
        binding: Binding = .unsupported,
        authzid: String? = nil
    ) {
        self.hash = hash
        self.username = username
        self.password = password
        self.nonce = nonce
        self.binding = binding
        self.authzid = authzid
    }

    /// The first message, not in base64.
    package var first: String { gs2Header + firstBare }

    /// The answer to the server's first message; `Digest.pbkdf2` runs in it.
    package mutating func final(serverFirst: String) throws(Failure) -> String {
        let (hash, password) = (hash, Array(password.utf8))
        return try final(serverFirst: serverFirst) { salt, iterations in
            Digest.pbkdf2(hash, password: password, salt: salt, iterations: iterations)
        }
    }

    /// The same, with a salted password that may be kept from an earlier login (RFC 5802 section 3).
    package mutating func final(
        serverFirst: String,
        saltedPassword: (_ salt: [UInt8], _ iterations: Int) -> [UInt8]
    ) throws(Failure) -> String {
        let fields = serverFirst.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 3, fields[0].hasPrefix("r="), fields[1].hasPrefix("s="), fields[2].hasPrefix("i="),
            let salt = Digest.base64Decode(fields[1].dropFirst(2)), let iterations = Int(fields[2].dropFirst(2)),
            iterations > 0
        else { throw .malformedServerMessage }
        let fullNonce = fields[0].dropFirst(2)
        guard fullNonce.hasPrefix(nonce), fullNonce.utf8.count > nonce.utf8.count else { throw .nonceMismatch }

        let salted = saltedPassword(salt, iterations)
        let clientKey = Digest.hmac(hash, key: salted, Array("Client Key".utf8))
        let withoutProof = "c=\(Digest.base64(Array(gs2Header.utf8) + bindingData)),r=\(fullNonce)"
        let message = Array("\(firstBare),\(serverFirst),\(withoutProof)".utf8)
        let signature = Digest.hmac(hash, key: Digest.hash(clientKey, hash), message)
        let serverKey = Digest.hmac(hash, key: salted, Array("Server Key".utf8))
        serverSignature = Digest.hmac(hash, key: serverKey, message)
        return "\(withoutProof),p=\(Digest.base64(zip(clientKey, signature).map { $0 ^ $1 }))"
    }

    /// Checks the server's last message.
    package func verify(serverFinal: String) throws(Failure) {
        guard serverFinal.hasPrefix("v="), let signature = Digest.base64Decode(serverFinal.dropFirst(2)) else {
            throw .malformedServerMessage
        }
        guard !serverSignature.isEmpty, Digest.constantTimeEqual(signature, serverSignature) else {
            throw .wrongServerSignature
        }
    }

    private var firstBare: String { "n=\(escaped(username)),r=\(nonce)" }

    private var gs2Header: String {
        let flag =
            switch binding {
            case .unsupported: "n"
            case .supportedButNotOffered: "y"
            case .used(let type, _): "p=\(type)"
            }
        return "\(flag),\(authzid.map { "a=\(escaped($0))" } ?? ""),"
    }

    private var bindingData: [UInt8] {
        guard case .used(_, let data) = binding else { return [] }
        return data
    }

    private func escaped(_ text: String) -> String {
        String(
            decoding: text.utf8.flatMap { byte in
                switch byte {
                case UInt8(ascii: ","): Array("=2C".utf8)
                case UInt8(ascii: "="): Array("=3D".utf8)
                default: [byte]
                }
            },
            as: UTF8.self
        )
    }
}
