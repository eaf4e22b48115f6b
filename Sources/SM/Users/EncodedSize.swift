// SPDX-License-Identifier: Apache-2.0

/// How many bytes values take in XML, without writing them: for the bounds of lists that are sent whole.
enum EncodedSize {
    /// The tags of an empty `<item/>` with its usual attributes.
    static let item = 40

    /// A text or the value of an attribute, escaped.
    static func of(_ text: String) -> Int {
        var size = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: ">"): size += 4
            case UInt8(ascii: "&"): size += 5
            case UInt8(ascii: "'"), UInt8(ascii: "\""): size += 6
            case 0..<0x20: size += 5
            default: size += 1
            }
        }
        return size
    }
}
