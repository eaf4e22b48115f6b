// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// A wrapper, `<j:route>`, on an internal link (`docs/protocols.md`, section 1): the places of what its start tag says,
/// and its content as bytes that nobody has looked at.
///
/// It begins with the length of its content (`<j:route b='123' …>`), so that the reader need not search for its end.
package struct RouteFrame: Sendable {
    /// The whole wrapper as read.
    package let bytes: ByteBuffer
    /// What stands between its tags.
    package let content: ByteBuffer
    private let tag: RouteTag

    private init(bytes: ByteBuffer, content: ByteBuffer, tag: RouteTag) {
        self.bytes = bytes
        self.content = content
        self.tag = tag
    }

    /// A wrapper in the first `end` bytes of a buffer.
    init?(_ buffer: ByteBuffer, _ tag: RouteTag, end: Int) {
        guard let bytes = buffer.getSlice(at: buffer.readerIndex, length: end) else { return nil }
        self.init(bytes: bytes, content: bytes.slice(tag.end..<end - RouteTag.endTag.count), tag: tag)
    }

    /// The wrapper that a reader took by its tags, without a length. Nil if the element is none, or has references
    /// where names and numbers are expected.
    package init?(_ element: StreamElement) {
        guard element.namespace == StreamRoot.linkNamespace, element.name == "route",
            let tag = RouteTag(element.bytes.readableBytesUInt8Span)
        else { return nil }
        self.init(bytes: element.bytes, content: element.content, tag: tag)
    }

    /// The sender's instance name; empty if it is not told.
    package var from: String { self.bytes.string(self.tag.from) }
    /// The receiver's instance name; empty if it is not told.
    package var to: String { self.bytes.string(self.tag.to) }
    /// It came back: there is no such instance.
    package var isUnreachable: Bool { self.tag.hasError }
    /// The name of the session that it is about; empty if it is about none.
    package var session: String { self.bytes.string(self.tag.session) }
    /// The session's attach number, 0 if it is not told.
    package var attach: UInt64 { self.tag.attach }
    /// The number of the stanza in its session.
    package var number: UInt64? { self.tag.number }
    /// Its number in the reliable channel; nil: it is not a message of one.
    package var sequence: UInt64? { self.tag.sequence }
    /// It belongs to a reliable channel, as a message if it has a number, else as the channel's own word.
    package var isOfChannel: Bool { self.tag.hasChannel }
    /// The stable id of a message that is kept, as UTF-8; empty if it is not told.
    package var id: ByteBufferView? {
        self.tag.id.isEmpty
            ? nil : self.bytes.viewBytes(at: self.bytes.readerIndex + self.tag.id.lowerBound, length: self.tag.id.count)
    }
    /// What C2S found wrong with the stanza.
    package var fault: String? { self.tag.fault.isEmpty ? nil : self.bytes.string(self.tag.fault) }

    /// Whether `from` is this name, given as UTF-8; cheaper than making a string of it.
    package func isFrom(_ name: [UInt8]) -> Bool { self.bytes.readableBytesUInt8Span.matches(self.tag.from, name) }

    /// Whether `to` is this name, given as UTF-8.
    package func isTo(_ name: [UInt8]) -> Bool { self.bytes.readableBytesUInt8Span.matches(self.tag.to, name) }

    /// Whether it belongs to the channel of this pair of incarnations, given as UTF-8.
    package func isOfChannel(_ pair: [UInt8]) -> Bool {
        self.tag.hasChannel && self.bytes.readableBytesUInt8Span.matches(self.tag.channel, pair)
    }

    /// The bytes up to the end of the start tag's last attribute, and those behind it: where an attribute can be added.
    package func splitBeforeTagEnd() -> (start: ByteBuffer, rest: ByteBuffer) {
        (
            self.bytes.slice(0..<self.tag.attributesEnd),
            self.bytes.slice(self.tag.attributesEnd..<self.bytes.readableBytes)
        )
    }

    /// The content's first child, read as far as a `StreamElement` reads a stanza; nil if there is none, or it cannot
    /// be read.
    package func inner() -> StreamElementTag? { StreamElementTag(firstIn: self.content) }
}

/// The start tag of a wrapper: where its attributes are, counted from the first byte.
struct RouteTag {
    private(set) var from = 0..<0
    private(set) var to = 0..<0
    private(set) var session = 0..<0
    private(set) var fault = 0..<0
    private(set) var id = 0..<0
    private(set) var channel = 0..<0
    private(set) var hasChannel = false
    private(set) var sequence: UInt64?
    private(set) var attach: UInt64 = 0
    private(set) var number: UInt64?
    private(set) var hasError = false
    /// The length of the content, if it is told.
    private(set) var length: Int?
    /// The offset behind the last attribute.
    private(set) var attributesEnd = 0
    /// The offset behind the tag.
    private(set) var end = 0

    static let name = Array("<j:route".utf8)
    /// How a wrapper with a length begins.
    static let start = Array("<j:route b='".utf8)
    static let endTag = Array("</j:route>".utf8)

    private enum Name {
        case from, to, session, attach, number, length, channel, sequence, id, fault, error, other

        init(_ bytes: Span<UInt8>, _ place: Range<Int>) {
            switch (place.count, bytes[place.lowerBound]) {
            case (1, UInt8(ascii: "b")): self = .length
            case (1, UInt8(ascii: "s")): self = .session
            case (1, UInt8(ascii: "a")): self = .attach
            case (1, UInt8(ascii: "n")): self = .number
            case (1, UInt8(ascii: "c")): self = .channel
            case (1, UInt8(ascii: "q")): self = .sequence
            case (1, UInt8(ascii: "i")): self = .id
            case (2, UInt8(ascii: "t")) where bytes[place.lowerBound + 1] == UInt8(ascii: "o"): self = .to
            case (4, UInt8(ascii: "f")) where bytes.matches(place, Self.fromBytes): self = .from
            case (5, UInt8(ascii: "f")) where bytes.matches(place, Self.faultBytes): self = .fault
            case (5, UInt8(ascii: "e")) where bytes.matches(place, Self.errorBytes): self = .error
            default: self = .other
            }
        }

        private static let fromBytes = Array("from".utf8)
        private static let faultBytes = Array("fault".utf8)
        private static let errorBytes = Array("error".utf8)
    }

    /// Reads the tag at the start of the bytes. Nil if it cannot be read, or has references where names and numbers
    /// are expected.
    init?(_ bytes: Span<UInt8>) {
        guard bytes.matches(0..<Self.name.count, Self.name) else { return nil }
        var cursor = AttributeCursor(at: Self.name.count)
        self.attributesEnd = Self.name.count
        while cursor.next(bytes) {
            self.attributesEnd = cursor.value.upperBound + 1
            let name = Name(bytes, cursor.name)
            guard name == .other || cursor.isPlain, self.take(name, cursor.value, bytes) else { return nil }
        }
        switch cursor.end {
        case .open(let end), .empty(let end): self.end = end
        case nil: return nil
        }
    }

    private mutating func take(_ name: Name, _ value: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        switch name {
        case .from: self.from = value
        case .to: self.to = value
        case .session: self.session = value
        case .fault: self.fault = value
        case .id: self.id = value
        case .error: self.hasError = true
        case .channel:
            self.channel = value
            self.hasChannel = true
        case .sequence:
            guard let number = bytes.number(value) else { return false }
            self.sequence = number
        case .attach:
            guard let number = bytes.number(value) else { return false }
            self.attach = number
        case .number:
            guard let number = bytes.number(value) else { return false }
            self.number = number
        case .length:
            guard let number = bytes.number(value), let length = Int(exactly: number) else { return false }
            self.length = length
        case .other: break
        }
        return true
    }
}

/// What stands at the start of an internal link's input.
enum RouteScan {
    /// Something else than a wrapper that tells its length.
    case other
    case incomplete
    /// A whole wrapper, with the offset behind it.
    case route(RouteTag, end: Int)
    case refused(StreamReader.Failure)

    /// The longest start tag.
    private static let tagBytes = 4_096

    init(_ bytes: Span<UInt8>, limit: Int) {
        let known = Swift.min(bytes.count, RouteTag.start.count)
        for index in 0..<known where bytes[index] != RouteTag.start[index] {
            self = .other
            return
        }
        guard known == RouteTag.start.count else {
            self = .incomplete
            return
        }
        guard let tag = RouteTag(bytes), let length = tag.length else {
            self = Self.unreadable(bytes)
            return
        }
        guard length <= limit - tag.end - RouteTag.endTag.count else {
            self = .refused(.stanzaTooLarge)
            return
        }
        let contentEnd = tag.end + length
        let end = contentEnd + RouteTag.endTag.count
        guard end <= bytes.count else {
            self = .incomplete
            return
        }
        self = bytes.matches(contentEnd..<end, RouteTag.endTag) ? .route(tag, end: end) : .refused(.notWellFormed)
    }

    /// A tag that is not all there, or has a fault.
    private static func unreadable(_ bytes: Span<UInt8>) -> RouteScan {
        var index = RouteTag.start.count
        let end = Swift.min(bytes.count, Self.tagBytes)
        while index < end {
            if bytes[index] == UInt8(ascii: ">") { return .refused(.notWellFormed) }
            index += 1
        }
        return end == Self.tagBytes ? .refused(.stanzaTooLarge) : .incomplete
    }
}
