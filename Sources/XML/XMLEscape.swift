// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Escaping of text and attribute values. Characters that XML 1.0 does not allow are left out.
package enum XMLEscape {
    private enum Place {
        case text
        case attribute
    }

    /// Writes character data.
    package static func writeText(_ text: String, to buffer: inout ByteBuffer) {
        self.write(text, in: .text, to: &buffer)
    }

    /// Writes the value of an attribute, without the quotes; good inside either kind of quote.
    package static func writeAttributeValue(_ value: String, to buffer: inout ByteBuffer) {
        self.write(value, in: .attribute, to: &buffer)
    }

    /// Writes ` name='value'`.
    package static func writeAttribute(_ name: String, _ value: String, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(" ")
        buffer.writeString(name)
        buffer.writeStaticString("='")
        self.writeAttributeValue(value, to: &buffer)
        buffer.writeStaticString("'")
    }

    private static func write(_ text: String, in place: Place, to buffer: inout ByteBuffer) {
        let bytes = text.utf8.span
        var clean = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            guard self.needsCare(byte) else {
                index += 1
                continue
            }
            // U+FFFE and U+FFFF are no characters of XML 1.0; they are EF BF BE and EF BF BF.
            if byte == 0xEF {
                let isExcluded = index + 2 < bytes.count && bytes[index + 1] == 0xBF && bytes[index + 2] >= 0xBE
                if isExcluded {
                    unsafe buffer.writeBytes(bytes.extracting(clean..<index).bytes)
                    clean = index + 3
                }
                index += 3
                continue
            }
            if let replacement = self.replacement(for: byte, in: place) {
                unsafe buffer.writeBytes(bytes.extracting(clean..<index).bytes)
                buffer.writeStaticString(replacement)
                clean = index + 1
            }
            index += 1
        }
        unsafe buffer.writeBytes(bytes.extracting(clean..<bytes.count).bytes)
    }

    private static func needsCare(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x26 || byte == 0x27 || byte == 0x22 || byte == 0x3C || byte == 0x3E || byte == 0xEF
    }

    /// What is written for a byte, nil if it stands for itself.
    private static func replacement(for byte: UInt8, in place: Place) -> StaticString? {
        switch (byte, place) {
        case (UInt8(ascii: "&"), _): "&amp;"
        case (UInt8(ascii: "<"), _): "&lt;"
        case (UInt8(ascii: ">"), _): "&gt;"
        case (UInt8(ascii: "'"), .attribute): "&apos;"
        case (UInt8(ascii: "\""), .attribute): "&quot;"
        case (0x09, .attribute): "&#9;"
        case (0x0A, .attribute): "&#10;"
        case (0x0D, _): "&#13;"  // a parser would make a line feed of it
        case (0x09, .text), (0x0A, .text), (0x20..., _): nil
        default: ""
        }
    }
}
