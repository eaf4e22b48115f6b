// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// What the client says about channel binding: the flag of the GS2 header (RFC 5802 section 7, `gs2-cbind-flag`).
enum GS2Binding: Hashable, Sendable {
    /// `n`: the client does not support it.
    case unsupported
    /// `y`: the client supports it and thinks that the server does not.
    case supportedByClient
    /// `p=name`: the client uses it.
    case used(String)
}

/// The client's first message (RFC 5802 section 7, `client-first-message`).
struct SCRAMClientFirst: Hashable, Sendable {
    let binding: GS2Binding
    let authzid: String?
    /// Prepared as a local part.
    let username: String
    let nonce: String
    /// The text up to and with the second comma, which the client repeats in its last message.
    let gs2Header: String
    /// The rest, which is signed.
    let bare: String

    init(_ bytes: [UInt8]) throws(SASLFailure) {
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else { throw .malformedRequest }
        let fields = text.split(separator: ",", omittingEmptySubsequences: false)
        // Extensions may follow the nonce; a mandatory one would stand before the name (`m=`), and we know none.
        guard fields.count >= 4 else { throw .malformedRequest }
        self.binding = try Self.binding(fields[0])
        self.authzid = try Self.authzid(fields[1])
        guard fields[2].hasPrefix("n="), fields[3].hasPrefix("r="),
            let name = Self.unescaped(fields[2].dropFirst(2)), !name.isEmpty
        else { throw .malformedRequest }
        self.nonce = String(fields[3].dropFirst(2))
        guard SCRAMSyntax.isNonce(nonce), fields[4...].allSatisfy(SCRAMSyntax.isExtension) else {
            throw .malformedRequest
        }
        self.gs2Header = "\(fields[0]),\(fields[1]),"
        self.bare = String(text[fields[2].startIndex...])
        self.username = try SASLName.prepare(name)
    }

    private static func binding(_ field: Substring) throws(SASLFailure) -> GS2Binding {
        switch field {
        case "n": return .unsupported
        case "y": return .supportedByClient
        default:
            let name = field.dropFirst(2)
            let isName = name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
            guard field.hasPrefix("p="), !name.isEmpty, isName else { throw .malformedRequest }
            return .used(String(name))
        }
    }

    private static func authzid(_ field: Substring) throws(SASLFailure) -> String? {
        guard !field.isEmpty else { return nil }
        guard field.hasPrefix("a="), let name = unescaped(field.dropFirst(2)), !name.isEmpty else {
            throw .malformedRequest
        }
        return name
    }

    /// Undoes `=2C` and `=3D` (RFC 5802 section 5.1); nil if an `=` stands for nothing.
    private static func unescaped(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "=")) else { return String(text) }
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        var result = String(parts[0])
        for part in parts.dropFirst() {
            switch part.prefix(2) {
            case "2C": result += ","
            case "3D": result += "="
            default: return nil
            }
            result += part.dropFirst(2)
        }
        return result
    }
}

/// The client's last message (RFC 5802 section 7, `client-final-message`).
struct SCRAMClientFinal: Hashable, Sendable {
    let channelBinding: [UInt8]
    let nonce: String
    let proof: [UInt8]
    /// All but the proof, which is signed.
    let withoutProof: String

    init(_ bytes: [UInt8]) throws(SASLFailure) {
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else { throw .malformedRequest }
        let fields = text.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 3, fields[0].hasPrefix("c="), fields[1].hasPrefix("r="),
            let last = fields.last, last.hasPrefix("p="),
            fields[2...].dropLast().allSatisfy(SCRAMSyntax.isExtension),
            let binding = Digest.base64Decode(fields[0].dropFirst(2)), !binding.isEmpty,
            let proof = Digest.base64Decode(last.dropFirst(2)), !proof.isEmpty
        else { throw .malformedRequest }
        self.channelBinding = binding
        self.nonce = String(fields[1].dropFirst(2))
        self.proof = proof
        self.withoutProof = String(text[..<text.utf8.index(before: last.startIndex)])
    }
}

/// Small rules of the grammar.
enum SCRAMSyntax {
    /// Printable ASCII without the comma.
    static func isNonce(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x21 && $0 <= 0x7E && $0 != UInt8(ascii: ",") }
    }

    /// `attr-val` of an optional extension: a letter, `=`, and a value.
    static func isExtension(_ field: Substring) -> Bool {
        let bytes = field.utf8.prefix(3)
        guard bytes.count == 3, let letter = bytes.first, bytes.dropFirst().first == UInt8(ascii: "=") else {
            return false
        }
        let lower = letter | 0x20
        return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z") && letter != UInt8(ascii: "m")
    }
}
