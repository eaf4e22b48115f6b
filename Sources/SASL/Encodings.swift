// SPDX-License-Identifier: Apache-2.0

extension Digest {
    private static let base64Alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let hexAlphabet = Array("0123456789abcdef".utf8)

    /// Base64 with padding (RFC 4648 section 4).
    package static func base64(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let group = bytes[index..<min(index + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for position in 0..<4 {
                let symbol = Int(bits >> UInt32(18 - 6 * position) & 63)
                output.append(position <= group.count ? base64Alphabet[symbol] : UInt8(ascii: "="))
            }
            index += 3
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Decodes base64 strictly: with padding, no white space, and unused bits that are zero (RFC 4648 section 3.5).
    package static func base64Decode(_ text: some StringProtocol) -> [UInt8]? {
        let symbols = Array(text.utf8)
        guard symbols.count.isMultiple(of: 4) else { return nil }
        let padding = symbols.suffix(2).count { $0 == UInt8(ascii: "=") }
        let body = symbols.dropLast(padding)
        var output: [UInt8] = []
        output.reserveCapacity(symbols.count / 4 * 3)
        var bits: UInt32 = 0
        var held = 0
        for symbol in body {
            guard let value = base64Value(symbol) else { return nil }
            bits = bits << 6 | value
            held += 6
            guard held >= 8 else { continue }
            held -= 8
            output.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            bits &= (1 << UInt32(held)) - 1
        }
        return bits == 0 ? output : nil
    }

    /// Lower case hexadecimal.
    package static func hex(_ bytes: [UInt8]) -> String {
        let digits = bytes.flatMap { [hexAlphabet[Int($0 >> 4)], hexAlphabet[Int($0 & 15)]] }
        return String(decoding: digits, as: UTF8.self)
    }

    /// Lower case base32 without padding (RFC 4648 section 6).
    package static func base32(_ bytes: [UInt8]) -> String {
        base32(bytes.span)
    }

    /// Likewise for bytes that are in no array.
    package static func base32(_ bytes: Span<UInt8>) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count * 8 + 4) / 5)
        var bits: UInt32 = 0
        var held: UInt32 = 0
        for index in bytes.indices {
            bits = bits << 8 | UInt32(bytes[index])
            held += 8
            while held >= 5 {
                held -= 5
                output.append(base32Symbol(bits >> held & 31))
            }
            bits &= (1 << held) - 1
        }
        if held > 0 { output.append(base32Symbol(bits << (5 - held) & 31)) }
        return String(decoding: output, as: UTF8.self)
    }

    private static func base32Symbol(_ value: UInt32) -> UInt8 {
        UInt8(truncatingIfNeeded: value) + (value < 26 ? UInt8(ascii: "a") : UInt8(ascii: "2") - 26)
    }

    private static func base64Value(_ symbol: UInt8) -> UInt32? {
        switch symbol {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(symbol - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(symbol - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(symbol - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
