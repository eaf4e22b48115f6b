// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// One child of the stream's root as a load client sees it: bytes, of which only the start tag is ever looked at.
struct ReceivedStanza {
    enum Kind {
        case message
        case presence
        case iq
        /// `<a/>` and `<r/>` of XEP-0198.
        case acknowledgement
        case acknowledgementRequest
        case other
    }

    let kind: Kind
    /// The whole element.
    let bytes: ByteBuffer
    /// The length of its start tag.
    let tagLength: Int

    init(bytes: ByteBuffer, tagLength: Int) {
        self.bytes = bytes
        self.tagLength = tagLength
        kind = Self.kind(bytes.readableBytesUInt8Span.extracting(first: tagLength))
    }

    /// The local name; for the login, where time does not matter.
    var name: String {
        let tag = bytes.readableBytesUInt8Span.extracting(first: tagLength)
        let end = Self.endOfName(tag)
        let name = String(decoding: (1..<end).map { tag[$0] }, as: UTF8.self)
        return name.split(separator: ":").last.map(String.init) ?? name
    }

    /// The element as text, likewise.
    var text: String { String(buffer: bytes) }

    /// The text between the start tag and the next tag.
    var content: String {
        String(text.utf8.dropFirst(tagLength).prefix { $0 != UInt8(ascii: "<") }) ?? ""
    }

    /// Where an attribute's value is.
    func range(of attribute: StaticString) -> Range<Int>? {
        let tag = bytes.readableBytesUInt8Span.extracting(first: tagLength)
        var index = Self.endOfName(tag)
        while index < tag.count {
            while index < tag.count, Self.isSpace(tag[index]) { index += 1 }
            let nameStart = index
            while index < tag.count, tag[index] != UInt8(ascii: "=") { index += 1 }
            let nameEnd = index
            index += 1
            guard index < tag.count else { return nil }
            let quote = tag[index]
            index += 1
            let valueStart = index
            while index < tag.count, tag[index] != quote { index += 1 }
            if Self.equals(tag.extracting(nameStart..<nameEnd), attribute) { return valueStart..<index }
            index += 1
        }
        return nil
    }

    /// An attribute's value as text.
    subscript(_ attribute: StaticString) -> String? {
        range(of: attribute).flatMap { bytes.getString(at: bytes.readerIndex + $0.lowerBound, length: $0.count) }
    }

    /// Whether an attribute has a value.
    func has(_ attribute: StaticString, _ value: StaticString) -> Bool {
        guard let range = range(of: attribute) else { return false }
        return Self.equals(bytes.readableBytesUInt8Span.extracting(range), value)
    }

    /// The marker within an attribute.
    func marker(in attribute: StaticString) -> Marker? {
        range(of: attribute).flatMap { Marker(bytes.readableBytesUInt8Span.extracting($0)) }
    }

    /// The marker in the text of the first child.
    func markerInFirstChild() -> Marker? {
        let span = bytes.readableBytesUInt8Span
        var start = tagLength
        while start < span.count, span[start] != UInt8(ascii: ">") { start += 1 }
        start += 1
        var end = start
        while end < span.count, span[end] != UInt8(ascii: "<") { end += 1 }
        return end > start && end < span.count ? Marker(span.extracting(start..<end)) : nil
    }

    private static func kind(_ tag: Span<UInt8>) -> Kind {
        let name = tag.extracting(min(1, tag.count)..<endOfName(tag))
        if equals(name, "message") { return .message }
        if equals(name, "presence") { return .presence }
        if equals(name, "iq") { return .iq }
        if equals(name, "a") { return .acknowledgement }
        return equals(name, "r") ? .acknowledgementRequest : .other
    }

    private static func endOfName(_ tag: Span<UInt8>) -> Int {
        var index = min(1, tag.count)
        while index < tag.count {
            let byte = tag[index]
            if isSpace(byte) || byte == UInt8(ascii: "/") || byte == UInt8(ascii: ">") { break }
            index += 1
        }
        return index
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }

    private static func equals(_ bytes: Span<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { other in
            for index in 0..<bytes.count where unsafe bytes[index] != other[index] { return false }
            return true
        }
    }
}

/// What a load client puts into each stanza that it counts: the number within its conversation, and the time.
///
/// The time is in nanoseconds since the start of the run, as `12-3456789`; so a delivery needs no memory of what was
/// sent, and no message that the server holds back can distort the times of those after it.
struct Marker: Equatable {
    var number: Int
    var time: Int64

    init(number: Int, time: Int64) {
        self.number = number
        self.time = time
    }

    init?(_ bytes: Span<UInt8>) {
        var index = 0
        guard let number = Self.integer(bytes, &index), index < bytes.count, bytes[index] == UInt8(ascii: "-") else {
            return nil
        }
        index += 1
        guard let time = Self.integer(bytes, &index), index == bytes.count else { return nil }
        self.init(number: number, time: Int64(time))
    }

    func write(to buffer: inout ByteBuffer) {
        Self.write(number, to: &buffer)
        buffer.writeInteger(UInt8(ascii: "-"))
        Self.write(Int(time), to: &buffer)
    }

    /// Digits at an index, which moves behind them; none, or too many of them, are no number.
    static func integer(_ bytes: Span<UInt8>, _ index: inout Int) -> Int? {
        var value = 0
        let start = index
        while index < bytes.count, index - start < 18 {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            value = value * 10 + Int(digit)
            index += 1
        }
        return index > start ? value : nil
    }

    private static func write(_ value: Int, to buffer: inout ByteBuffer) {
        var divisor = 1
        while value / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            buffer.writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
}
