// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Cuts a stream into the children of its root by looking for tags, and judges nothing: the server under load is
/// trusted to send restricted XML (RFC 6120 section 11.1).
struct StanzaScanner {
    enum Event {
        case stanza(ReceivedStanza)
        case streamEnd
    }

    private var buffer = ByteBuffer()
    /// How far the unread bytes were scanned; always at the start of a token.
    private var cursor = 0
    private var depth = 0
    private var tagLength = 0

    mutating func receive(_ bytes: ByteBuffer) {
        guard buffer.readableBytes > 0 else {
            buffer = bytes
            return
        }
        buffer.discardReadBytes()
        buffer.writeImmutableBuffer(bytes)
    }

    /// A new stream begins on the connection, and what is unread belonged to the old one.
    mutating func restart() { self = StanzaScanner() }

    /// The next whole element, or nil where more bytes are needed.
    mutating func next() -> Event? {
        while let token = nextToken() {
            switch token.kind {
            case .other: break
            case .end:
                depth -= 1
                if depth == 0 { return .streamEnd }
            case .start:
                if depth == 1 { tagLength = token.range.count }
                depth += 1
            case .empty:
                if depth == 1 { tagLength = token.range.count }
            }
            guard depth == 1 else { continue }
            if token.kind == .end || token.kind == .empty { return take(token.range) }
            // The stream's header, a declaration, or white space between stanzas.
            skip(token.range.upperBound)
        }
        return nil
    }

    private struct Token {
        enum Kind { case start, end, empty, other }
        let kind: Kind
        let range: Range<Int>
    }

    private mutating func take(_ tag: Range<Int>) -> Event? {
        guard let bytes = buffer.readSlice(length: tag.upperBound) else { return nil }
        cursor = 0
        return .stanza(ReceivedStanza(bytes: bytes, tagLength: tagLength))
    }

    private mutating func skip(_ count: Int) {
        buffer.moveReaderIndex(forwardBy: count)
        cursor = 0
    }

    private mutating func nextToken() -> Token? {
        guard let token = Self.token(buffer.readableBytesUInt8Span, from: cursor) else { return nil }
        cursor = token.range.upperBound
        return token
    }

    private static func token(_ bytes: Span<UInt8>, from start: Int) -> Token? {
        var index = start
        while index < bytes.count, bytes[index] != UInt8(ascii: "<") { index += 1 }
        guard index == start else { return Token(kind: .other, range: start..<index) }
        guard index + 1 < bytes.count else { return nil }
        let end = bytes[index + 1] == UInt8(ascii: "!") ? endOfCDATA(bytes, index) : endOfTag(bytes, index)
        return end.map { Token(kind: kind(bytes, start, $0), range: start..<$0) }
    }

    private static func kind(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Token.Kind {
        switch bytes[start + 1] {
        case UInt8(ascii: "/"): .end
        case UInt8(ascii: "?"), UInt8(ascii: "!"): .other
        default: bytes[end - 2] == UInt8(ascii: "/") ? .empty : .start
        }
    }

    private static func endOfTag(_ bytes: Span<UInt8>, _ start: Int) -> Int? {
        var quote: UInt8 = 0
        var index = start + 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if quote != 0 {
                if byte == quote { quote = 0 }
            } else if byte == UInt8(ascii: ">") {
                return index
            } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
            }
        }
        return nil
    }

    private static func endOfCDATA(_ bytes: Span<UInt8>, _ start: Int) -> Int? {
        var index = start + 2
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: ">"), bytes[index - 1] == UInt8(ascii: "]"),
                bytes[index - 2] == UInt8(ascii: "]")
            {
                return index + 1
            }
            index += 1
        }
        return nil
    }
}
