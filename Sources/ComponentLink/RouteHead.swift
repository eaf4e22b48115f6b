// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// How the wrappers of one instance for another begin: made once, written with each.
///
/// The length of the content comes first (`RouteFrame`); it is filled in when the content is written.
package struct RouteHead: Sendable {
    /// The receiver's instance name.
    package let to: String
    private let bytes: ByteBuffer

    private static let digits = 8
    private static let largest = 99_999_999
    private static let lengthOffset = "<j:route b='".utf8.count

    /// The head of wrappers from the instance `from` to the instance `to`.
    package init(from: String, to: String) {
        self.to = to
        var bytes = ByteBuffer()
        bytes.writeStaticString("<j:route b='00000000'")
        bytes.writeLinkAttribute("from", from)
        bytes.writeLinkAttribute("to", to)
        self.bytes = bytes
    }

    /// Appends a whole wrapper.
    ///
    /// - Parameters:
    ///   - buffer: what it is appended to.
    ///   - attributes: appends further attributes, each with the space before it.
    ///   - content: appends what is wrapped.
    func write(
        to buffer: inout ByteBuffer,
        attributes: (inout ByteBuffer) -> Void = { _ in },
        content: (inout ByteBuffer) -> Void
    ) {
        let start = buffer.writerIndex
        buffer.writeImmutableBuffer(self.bytes)
        attributes(&buffer)
        buffer.writeStaticString(">")
        let contentStart = buffer.writerIndex
        content(&buffer)
        Self.fill(buffer.writerIndex - contentStart, at: start + Self.lengthOffset, in: &buffer)
        buffer.writeStaticString("</j:route>")
    }

    /// Writes the length over its place. One that does not fit is past every limit: the router refuses the wrapper.
    private static func fill(_ length: Int, at offset: Int, in buffer: inout ByteBuffer) {
        var rest = min(length, Self.largest)
        for place in stride(from: offset + Self.digits - 1, through: offset, by: -1) where rest > 0 {
            buffer.setInteger(UInt8(ascii: "0") + UInt8(rest % 10), at: place)
            rest /= 10
        }
    }
}
