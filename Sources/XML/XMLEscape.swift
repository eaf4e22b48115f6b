// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Escaping of text and attribute values. Characters that XML 1.0 does not allow are left out.
package enum XMLEscape {
    /// Writes character data.
    package static func writeText(_ text: String, to buffer: inout ByteBuffer) {
        buffer.writeString(text)
    }

    /// Writes the value of an attribute, without the quotes; good inside either kind of quote.
    package static func writeAttributeValue(_ value: String, to buffer: inout ByteBuffer) {
        buffer.writeString(value)
    }

    /// Writes ` name='value'`.
    package static func writeAttribute(_ name: String, _ value: String, to buffer: inout ByteBuffer) {
        buffer.writeString(" \(name)='")
        self.writeAttributeValue(value, to: &buffer)
        buffer.writeString("'")
    }
}
