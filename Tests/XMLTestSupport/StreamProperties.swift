// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// What must hold for any bytes at all; random tests and a fuzzer ask the same.
package enum StreamProperties {
    /// Two readers disagree.
    package struct Violation: Error, CustomStringConvertible {
        package let description: String
    }

    /// Readers with bounds that a short document reaches.
    private static var narrow: StreamTranscript {
        StreamTranscript(limits: StreamReader.Limits(stanzaBytes: 150, tagBytes: 100, depth: 5, attributes: 4))
    }
    private static var narrowLink: StreamTranscript {
        var link = StreamTranscript.clientLink
        link.limits.stanzaBytes = 400
        return link
    }

    /// The bytes are read alike in one piece, cut at `cut`, and byte by byte, by each kind of reader.
    package static func checkPieces(_ bytes: [UInt8], cut: Int) throws(Violation) {
        for transcript in [StreamTranscript(), Self.narrow, Self.narrowLink] {
            let whole = transcript.lines([bytes])
            try Self.same(transcript.lines(bytes.map { [$0] }), whole, "byte by byte")
            try Self.same(transcript.lines([Array(bytes[..<cut]), Array(bytes[cut...])]), whole, "cut at \(cut)")
        }
    }

    /// What the edge lets pass means the same to the inner readers, and to expat.
    package static func checkAgreement(_ bytes: [UInt8]) throws {
        let reader = StreamTranscript().reader()
        reader.receive(ByteBuffer(bytes: bytes))
        var passed: [StreamElement] = []
        while let event = try? reader.next() {
            guard case .element(let element) = event else { continue }
            try Self.checkElement(element)
            passed.append(element)
        }
        if !passed.isEmpty { try Self.checkFrames(passed) }
    }

    /// The elements in wrappers that tell their length, as our serialiser writes them: the framer finds what expat
    /// finds in the whole.
    private static func checkFrames(_ elements: [StreamElement]) throws {
        var text = ByteBuffer()
        for element in elements {
            text.writeString("<j:route b='\(element.bytes.readableBytes)' from='a' to='b'>")
            text.writeImmutableBuffer(element.bytes)
            text.writeString("</j:route>")
        }
        let all = "<all xmlns='jabber:component:accept' xmlns:j='urn:jackdaw:link:0'>\(String(buffer: text))</all>"
        let oracle = try Element(parsing: ByteBuffer(string: all), namespace: "").childElements.map(\.childElements)
        let reader = StreamTranscript.link.reader()
        reader.receive(ByteBuffer(string: componentHeader))
        var found: [[Element]] = []
        // Cut where a wrapper is rarely cut: every seven bytes.
        while let piece = text.readSlice(length: min(7, text.readableBytes)), piece.readableBytes > 0 {
            reader.receive(piece)
            while let event = try reader.next() {
                guard case .route(let frame) = event else { continue }
                guard let inner = try frame.inner()?.element() else {
                    throw Violation(description: "no element in \(String(buffer: frame.content))")
                }
                found.append([inner])
            }
        }
        try Self.same(found, oracle, "in wrappers")
    }

    /// The element sent over an internal link, and parsed as a tree, is what the edge said it is.
    private static func checkElement(_ element: StreamElement) throws {
        let tree = try element.element()
        let header = clientHeader.dropLast() + " xmlns:j='urn:jackdaw:link:0'>"
        let elements = try StreamTranscript.clientLink.elements(header + String(buffer: element.bytes))
        guard elements.count == 1, let inner = elements.first else {
            throw Violation(description: "\(elements.count) elements in \(String(buffer: element.bytes))")
        }
        try Self.same(inner.name, element.name, "the name")
        try Self.same(inner.namespace, element.namespace, "the namespace")
        try Self.same(Set(inner.attributes.map(\.name)), Set(element.attributes.map(\.name)), "the attributes")
        for attribute in element.attributes {
            try Self.same(inner[attribute.name], attribute.value, attribute.name)
        }
        try Self.same(inner.content, element.content, "the content")
        try Self.same(inner.payload?.name, element.payload?.name, "the payload's name")
        try Self.same(inner.payload?.namespace, element.payload?.namespace, "the payload's namespace")
        try Self.same(try inner.element().children, tree.children, "the children")
        try Self.same(tree.childElements.first?.name, element.payload?.name, "the first child's name")
        try Self.same(tree.childElements.first?.namespace, element.payload?.namespace, "the first child's namespace")
        try Self.checkTag(element)
    }

    /// Expat, which judged the bytes, reads the same attributes off them, and so does the reader of tags.
    private static func checkTag(_ element: StreamElement) throws {
        let parsed = try Element(parsing: element.bytes, namespace: element.namespace)
        let values = element.attributes.filter { !$0.name.hasPrefix("xmlns:") }.map(\.value)
        try Self.same(parsed.attributes.map(\.value).sorted(), values.sorted(), "the attributes' values")
        guard let tag = StanzaTag(element.bytes) else { return }
        let places = ["to": tag.to, "from": tag.from, "type": tag.type, "id": tag.id, "xml:lang": tag.lang]
        for (name, place) in places {
            try Self.same(element[name], place.map { element.bytes.string($0) }, name)
        }
    }

    private static func same<Value: Equatable>(_ one: Value, _ other: Value, _ what: String) throws(Violation) {
        if one != other { throw Violation(description: "\(what): \(one) instead of \(other)") }
    }
}
