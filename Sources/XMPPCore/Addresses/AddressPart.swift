// SPDX-License-Identifier: Apache-2.0

/// Preparation of the parts of an address: ASCII on its bytes, all else by `PRECIS` and `DomainName`.
enum AddressPart {
    /// No part may be longer (RFC 7622 sections 3.2 to 3.4).
    static let maximumBytes = 1023

    /// What a scan of the bytes of a part found.
    private enum Verdict {
        case asIs
        case needsLowercase
        case needsUnicode
    }

    /// Prepares a local part (RFC 7622 section 3.3).
    static func local(_ part: Substring) throws(JIDError) -> String {
        try checkNotEmpty(part, .local)
        let verdict = scan(part.utf8.span) { byte in ASCIIClass.isLocal(byte) }
        guard let verdict else { throw JIDError(.local, .forbiddenCharacter) }
        let prepared: String
        switch verdict {
        case .asIs: prepared = String(part)
        case .needsLowercase: prepared = ASCIIClass.lowercased(part)
        case .needsUnicode:
            do throws(PRECIS.Failure) {
                prepared = try PRECIS.usernameCaseMapped(part)
            } catch {
                throw JIDError(.local, error.reason)
            }
            // Width mapping can bring forth what is forbidden, so it is looked for in the result.
            guard prepared.utf8.allSatisfy({ $0 >= 0x80 || ASCIIClass.isLocal($0) }) else {
                throw JIDError(.local, .forbiddenCharacter)
            }
        }
        return try checkLength(prepared, .local)
    }

    /// Prepares a resource (RFC 7622 section 3.4).
    static func resource(_ part: Substring) throws(JIDError) -> String {
        try checkNotEmpty(part, .resource)
        let verdict = scan(part.utf8.span) { byte in byte >= 0x20 && byte < 0x7F }
        guard let verdict else { throw JIDError(.resource, .forbiddenCharacter) }
        guard case .needsUnicode = verdict else { return try checkLength(String(part), .resource) }
        let prepared: String
        do throws(PRECIS.Failure) {
            prepared = try PRECIS.opaqueString(part)
        } catch {
            throw JIDError(.resource, error.reason)
        }
        return try checkLength(prepared, .resource)
    }

    /// Prepares a domain part (RFC 7622 section 3.2).
    static func domain(_ part: Substring) throws(JIDError) -> String {
        var part = part
        if part.utf8.last == UInt8(ascii: ".") { part = part[..<part.utf8.index(before: part.utf8.endIndex)] }
        try checkNotEmpty(part, .domain)
        if part.utf8.first == UInt8(ascii: "[") { return try checkLength(try IPLiteral.prepare(part), .domain) }
        switch DomainName.scan(part.utf8.span) {
        case .ready: return try checkLength(String(part), .domain)
        case .needsPreparation: return try checkLength(try DomainName.prepare(part), .domain)
        }
    }

    /// Judges the bytes of a part; nil if an ASCII one is not allowed.
    private static func scan(_ bytes: borrowing Span<UInt8>, allowing isAllowed: (UInt8) -> Bool) -> Verdict? {
        var verdict = Verdict.asIs
        for index in bytes.indices {
            let byte = bytes[index]
            if byte >= 0x80 {
                verdict = .needsUnicode
            } else if !isAllowed(byte) {
                return nil
            } else if ASCIIClass.isUpper(byte), case .asIs = verdict {
                verdict = .needsLowercase
            }
        }
        return verdict
    }

    /// Preparation leaves a third of a fullwidth letter, of a letter with its marks, or of an A-label, and all of an ASCII
    /// letter. What cannot become short enough is not prepared at all, so that the work stays bounded.
    private static func checkNotEmpty(_ part: Substring, _ name: JIDError.Part) throws(JIDError) {
        guard !part.utf8.isEmpty else { throw JIDError(name, .empty) }
        guard part.utf8.count > maximumBytes else { return }
        let ascii = name == .domain ? 0 : part.utf8.count { $0 < 0x80 }
        guard ascii <= maximumBytes, part.utf8.count <= 3 * maximumBytes else { throw JIDError(name, .tooLong) }
    }

    private static func checkLength(_ part: String, _ name: JIDError.Part) throws(JIDError) -> String {
        guard part.utf8.count <= maximumBytes else { throw JIDError(name, .tooLong) }
        return part
    }
}

/// Classes of ASCII bytes.
enum ASCIIClass {
    /// Letters, digits and what RFC 7622 section 3.3.1 leaves of the rest of the IdentifierClass.
    static func isLocal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "/"), UInt8(ascii: ":"),
            UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "@"):
            false
        default:
            byte > 0x20 && byte < 0x7F
        }
    }

    static func isUpper(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
    }

    /// A letter, a digit or a hyphen.
    static func isHostName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// The part with its ASCII letters in lower case.
    static func lowercased(_ part: Substring) -> String {
        String(decoding: part.utf8.map { isUpper($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}
