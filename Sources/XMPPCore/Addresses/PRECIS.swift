// SPDX-License-Identifier: Apache-2.0

/// The PRECIS profiles for user names and passwords (RFC 8264, RFC 8265).
package enum PRECIS {
    /// Why a string does not conform to a profile.
    package enum Failure: Error, Hashable, Sendable {
        case empty
        case disallowed
        case context
        case direction
        case unstable

        var reason: JIDError.Reason {
            switch self {
            case .empty: .empty
            case .disallowed: .forbiddenCharacter
            case .context: .contextRule
            case .direction: .direction
            case .unstable: .unstable
            }
        }
    }

    /// The profile UsernameCaseMapped (RFC 8265 section 3.3): local parts and user names.
    package static func usernameCaseMapped(_ string: some StringProtocol) throws(Failure) -> String {
        try stable(string) { scalars throws(Failure) in
            let narrow = scalars.map(Unicode32.widthMapped)
            try CodePointClass.check(narrow, freeform: false)
            let mapped = Unicode32.nfc(Unicode32.lowercased(narrow))
            try BidiRule.check(mapped)
            return mapped
        }
    }

    /// The profile OpaqueString (RFC 8265 section 4.2): resources and passwords.
    package static func opaqueString(_ string: some StringProtocol) throws(Failure) -> String {
        try stable(string) { scalars throws(Failure) in
            try CodePointClass.check(scalars, freeform: true)
            let spaced = scalars.map { Unicode32.category(of: $0, isIn: .spaces) ? 0x20 : $0 }
            return Unicode32.nfc(spaced)
        }
    }

    /// Applies the rules until the string does not change any more, three times more at most (RFC 8264 section 7).
    private static func stable(
        _ string: some StringProtocol,
        rules: ([UInt32]) throws(Failure) -> [UInt32]
    ) throws(Failure) -> String {
        guard !string.isEmpty else { throw .empty }
        var current = string.unicodeScalars.map(\.value)
        for _ in 0..<4 {
            let next = try rules(current)
            guard !next.isEmpty else { throw .empty }
            if next == current { return text(current) }
            current = next
        }
        guard try rules(current) == current else { throw .unstable }
        return text(current)
    }

    /// The string of code points that came out of a string.
    private static func text(_ scalars: [UInt32]) -> String {
        var result = String.UnicodeScalarView()
        result.append(contentsOf: scalars.lazy.compactMap(Unicode.Scalar.init))
        return String(result)
    }
}
