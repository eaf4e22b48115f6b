// SPDX-License-Identifier: Apache-2.0

/// Preparation of domain names: labels in the form of U-labels, lower case and NFC (RFC 7622 section 3.2, RFC 5890).
///
/// An A-label (`xn--`) becomes the U-label it stands for, so that both spellings are one address.
enum DomainName {
    enum Verdict {
        /// Lower case host name labels without `xn--`: the name is its own prepared form.
        case ready
        case needsPreparation
    }

    /// The longest label of the DNS (RFC 1035 section 2.3.4).
    private static let maximumLabelBytes = 63

    /// Judges the bytes of a name without a trailing dot.
    static func scan(_ bytes: borrowing Span<UInt8>) -> Verdict {
        var length = 0
        var previous = UInt8(ascii: ".")
        for index in bytes.indices {
            let byte = bytes[index]
            if byte == UInt8(ascii: ".") {
                guard length > 0, previous != UInt8(ascii: "-") else { return .needsPreparation }
                length = 0
            } else {
                guard ASCIIClass.isHostName(byte), !ASCIIClass.isUpper(byte) else { return .needsPreparation }
                // A hyphen at the start, or two in the places of `xn--`, are for the slow path to judge.
                if byte == UInt8(ascii: "-"), length == 0 || length == 3 { return .needsPreparation }
                length += 1
                guard length <= maximumLabelBytes else { return .needsPreparation }
            }
            previous = byte
        }
        return length > 0 && previous != UInt8(ascii: "-") ? .ready : .needsPreparation
    }

    /// Prepares a name without a trailing dot, label by label.
    static func prepare(_ name: Substring) throws(JIDError) -> String {
        var scalars = name.unicodeScalars.map { Unicode32.widthMapped($0.value) }
        if scalars.contains(where: { $0 >= 0x80 }) { scalars = Unicode32.lowercased(scalars) }
        // The ideographic full stop separates labels as the full stop does (RFC 5895 section 2).
        let labels = scalars.split(omittingEmptySubsequences: false) { $0 == 0x2E || $0 == 0x3002 }
        var result = String.UnicodeScalarView()
        for (index, label) in labels.enumerated() {
            if index > 0 { result.append(".") }
            let prepared = try prepareLabel(Array(label))
            result.append(contentsOf: prepared.lazy.compactMap(Unicode.Scalar.init))
        }
        return String(result)
    }

    /// The name the way that the DNS and certificates have it: U-labels become A-labels (RFC 5890 section 2.3.2.1).
    static func ascii(ofPrepared name: String) -> String {
        guard name.utf8.contains(where: { $0 >= 0x80 }) else { return name }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false).map { label in
            let scalars = label.unicodeScalars.map(\.value)
            // A prepared label can be encoded: its preparation did so to learn its length.
            guard scalars.contains(where: { $0 >= 0x80 }), let encoded = Punycode.encode(scalars) else {
                return String(label)
            }
            return "xn--" + String(decoding: encoded.map { UInt8(truncatingIfNeeded: $0) }, as: UTF8.self)
        }
        return labels.joined(separator: ".")
    }

    /// Prepares one label.
    private static func prepareLabel(_ label: [UInt32]) throws(JIDError) -> [UInt32] {
        let lower = label.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        guard lower.contains(where: { $0 >= 0x80 }) else { return try prepareASCII(lower) }
        let prepared = Unicode32.nfc(lower)
        try checkUnicodeLabel(prepared)
        return prepared
    }

    /// Checks a label of ASCII in lower case; decodes it if it is an A-label.
    private static func prepareASCII(_ label: [UInt32]) throws(JIDError) -> [UInt32] {
        let isHostName = label.allSatisfy { ASCIIClass.isHostName(UInt8(truncatingIfNeeded: $0)) }
        guard isHostName, !label.isEmpty, label.count <= maximumLabelBytes, label.first != 0x2D, label.last != 0x2D
        else { throw JIDError(.domain, .malformedLabel) }
        guard label.count >= 4, label[2] == 0x2D, label[3] == 0x2D else { return label }
        // Two hyphens there are reserved (RFC 5890 section 2.3.1); `xn--` is the one use of them.
        guard label[0] == 0x78, label[1] == 0x6E, let decoded = Punycode.decode(label[4...]) else {
            throw JIDError(.domain, .malformedLabel)
        }
        try checkUnicodeLabel(decoded)
        // An A-label is the one spelling of its U-label (RFC 5891 section 5.4).
        let isOneSpelling = Unicode32.nfc(Unicode32.lowercased(decoded)) == decoded
        guard isOneSpelling, decoded.contains(where: { $0 >= 0x80 }), Punycode.encode(decoded) == Array(label[4...])
        else { throw JIDError(.domain, .malformedLabel) }
        return decoded
    }

    /// Checks a label with characters beyond ASCII (RFC 5891 section 4.2).
    private static func checkUnicodeLabel(_ label: [UInt32]) throws(JIDError) {
        let hyphens = label.first == 0x2D || label.last == 0x2D || (label.count >= 4 && label[2...3] == [0x2D, 0x2D])
        let ascii = label.allSatisfy { $0 >= 0x80 || ASCIIClass.isHostName(UInt8(truncatingIfNeeded: $0)) }
        guard let first = label.first, !hyphens, ascii, !Unicode32.category(of: first, isIn: .marks),
            let encoded = Punycode.encode(label), encoded.count + 4 <= maximumLabelBytes
        else { throw JIDError(.domain, .malformedLabel) }
        do throws(PRECIS.Failure) {
            try CodePointClass.check(label, freeform: false)
            try BidiRule.check(label)
        } catch {
            throw JIDError(.domain, error.reason)
        }
    }
}
