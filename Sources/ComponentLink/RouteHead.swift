// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XMPPCore

/// How the wrappers of one instance for another begin: made once, written with each.
///
/// The length of the content comes first (`RouteFrame`); it is filled in when the content is written.
package final class RouteHead: Sendable {
    /// The receiver's instance name.
    package let to: String
    private let bytes: ByteBuffer

    private static let digits = 8
    private static let largest = 99_999_999
    private static let lengthOffset = "<j:route b='".utf8.count

    /// The head of wrappers from the instance `from` to the instance `to`, about a session or about none.
    package init(from: String, to: String, session: String = "", attach: UInt64 = 0) {
        self.to = to
        var bytes = ByteBuffer()
        bytes.writeStaticString("<j:route b='00000000'")
        bytes.writeLinkAttribute("from", from)
        bytes.writeLinkAttribute("to", to)
        if !session.isEmpty {
            bytes.writeLinkAttribute("s", session)
            bytes.writeLinkAttribute("a", attach)
        }
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

    /// Makes a message of a channel: all of a wrapper but what its sending adds.
    ///
    /// - Parameters:
    ///   - capacity: bytes that will probably do.
    ///   - attributes: appends further attributes, each with the space before it.
    ///   - content: appends what is wrapped.
    /// - Returns: the message.
    func message(
        capacity: Int,
        attributes: (inout ByteBuffer) -> Void = { _ in },
        content: (inout ByteBuffer) -> Void
    ) -> ChannelMessage {
        var body = ByteBufferAllocator().buffer(capacity: capacity + 64)
        // The end of the number's attribute.
        body.writeStaticString("'")
        attributes(&body)
        body.writeStaticString(">")
        let start = body.writerIndex
        content(&body)
        let length = body.writerIndex - start
        body.writeStaticString("</j:route>")
        return ChannelMessage(head: self, body: body, length: length)
    }

    /// Appends a whole wrapper, as one that is not of a channel.
    ///
    /// Generic, without closures: a method that is passed on as one costs an allocation.
    func write(_ wrapped: some WrapperContent, to buffer: inout ByteBuffer) {
        self.write(to: &buffer) {
            wrapped.writeAttributes(to: &$0)
        } content: {
            wrapped.writeContent(to: &$0)
        }
    }

    /// Makes a message of a channel.
    func message(_ wrapped: some WrapperContent) -> ChannelMessage {
        self.message(capacity: 256) {
            wrapped.writeAttributes(to: &$0)
        } content: {
            wrapped.writeContent(to: &$0)
        }
    }

    /// Makes a message about the session that the head is about: a stanza.
    package func message(
        _ stanza: Stanza,
        number: UInt64?,
        id: String? = nil,
        fault: StanzaError.Condition? = nil
    ) -> ChannelMessage {
        self.message(capacity: stanza.encodedSize + (id == nil ? 0 : 32)) { buffer in
            if let number { buffer.writeLinkAttribute("n", number) }
            // A stable id is base32: there is nothing to escape.
            if let id {
                buffer.writeStaticString(" i='")
                buffer.writeString(id)
                buffer.writeStaticString("'")
            }
            if let fault { buffer.writeLinkAttribute("fault", fault.rawValue) }
        } content: { buffer in
            stanza.write(to: &buffer)
        }
    }

    /// Appends a message as it is sent: with the pair of its channel and its number in it (`PeerChannel.attribute`).
    package func write(_ message: ChannelMessage, pair: ByteBuffer, number: UInt64, to buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        buffer.writeImmutableBuffer(self.bytes)
        buffer.writeImmutableBuffer(pair)
        buffer.writeDecimal(number)
        buffer.writeImmutableBuffer(message.body)
        Self.fill(message.length, at: start + Self.lengthOffset, in: &buffer)
    }

    /// What a message will add to the buffer at most, beside its body.
    var overhead: Int { self.bytes.readableBytes + 96 }

    /// Writes the length over its place. One that does not fit is past every limit: the router refuses the wrapper.
    private static func fill(_ length: Int, at offset: Int, in buffer: inout ByteBuffer) {
        let value = UInt32(clamping: min(length, Self.largest))
        let digits = DecimalDigits(value, atLeast: Self.digits).packed
        buffer.setInteger(digits, at: offset, endianness: .little)
    }
}

/// A session as a sender sees it: where wrappers about it go, and how they begin.
package struct SessionRoute: Sendable {
    package let instance: String
    package let session: String
    package let attach: UInt64
    package let head: RouteHead

    /// The route of a session at the instance that has it, from the instance `sender`.
    package init(from sender: String, to instance: String, session: String, attach: UInt64) {
        self.instance = instance
        self.session = session
        self.attach = attach
        self.head = RouteHead(from: sender, to: instance, session: session, attach: attach)
    }
}
