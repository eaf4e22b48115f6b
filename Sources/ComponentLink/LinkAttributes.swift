// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// Reading the attributes of a start tag, with the fault that names the attribute.
struct LinkAttributes {
    private let attributes: [TagAttribute]

    init(_ attributes: [TagAttribute]) {
        self.attributes = attributes
    }

    subscript(_ name: String) -> String? {
        for attribute in self.attributes where attribute.name == name {
            return attribute.value
        }
        return nil
    }

    func required(_ name: String) throws(LinkFault) -> String {
        guard let value = self[name] else { throw .missingAttribute(name) }
        return value
    }

    /// A number, or nil where the attribute is not there.
    func number<Number: FixedWidthInteger>(_ name: String, as _: Number.Type = Number.self) throws(LinkFault) -> Number?
    {
        guard let value = self[name] else { return nil }
        guard let number = Number(value) else { throw .badAttribute(name) }
        return number
    }

    func requiredNumber<Number: FixedWidthInteger>(
        _ name: String,
        as _: Number.Type = Number.self
    ) throws(LinkFault) -> Number {
        guard let number = try self.number(name, as: Number.self) else { throw .missingAttribute(name) }
        return number
    }
}

extension ByteBuffer {
    /// Appends ` name='value'`, with what must be escaped escaped.
    mutating func writeLinkAttribute(_ name: StaticString, _ value: String) {
        self.writeStaticString(" ")
        self.writeStaticString(name)
        self.writeStaticString("='")
        XMLEscape.writeAttributeValue(value, to: &self)
        self.writeStaticString("'")
    }

    /// Appends the attribute, or nothing where there is no value.
    mutating func writeLinkAttribute(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        self.writeLinkAttribute(name, value)
    }

    /// Appends ` name='123'`.
    mutating func writeLinkAttribute(_ name: StaticString, _ value: some FixedWidthInteger & UnsignedInteger) {
        self.writeStaticString(" ")
        self.writeStaticString(name)
        self.writeStaticString("='")
        self.writeDecimal(UInt64(truncatingIfNeeded: value))
        self.writeStaticString("'")
    }

    /// Appends the digits of a number, all at once where they are eight at most.
    mutating func writeDecimal(_ value: UInt64) {
        guard value < 100_000_000 else {
            self.writeString(String(value))
            return
        }
        let digits = DecimalDigits(UInt32(truncatingIfNeeded: value), atLeast: 1)
        self.setInteger(digits.packed, at: self.writerIndex, endianness: .little)
        self.moveWriterIndex(forwardBy: digits.count)
    }

    /// Appends `text`, escaped as character data.
    mutating func writeLinkText(_ text: String) {
        XMLEscape.writeText(text, to: &self)
    }
}

/// The digits of a number below 100,000,000, the first one in the lowest byte, with zeros before them where there are fewer
/// than asked for.
struct DecimalDigits {
    let packed: UInt64
    let count: Int

    init(_ value: UInt32, atLeast least: Int) {
        var rest = value
        var digits: UInt64 = 0
        var count = 0
        repeat {
            digits = digits << 8 | UInt64(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
            count += 1
        } while rest > 0 || count < least
        self.packed = digits
        self.count = count
    }
}
