// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import XML

let clientHeader =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>"
let componentHeader =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' xmlns:j='urn:jackdaw:link:0' to='a'>"

/// What a reader makes of bytes, one line an event.
struct StreamTranscript {
    var trust = StreamReader.Trust.foreign
    var contentNamespaces: Set<String> = ["jabber:client"]
    var limits = StreamReader.Limits()
    var parsers: StreamParserCache?

    static var link: StreamTranscript {
        StreamTranscript(trust: .internalLink, contentNamespaces: ["jabber:component:accept"])
    }

    func reader() -> StreamReader {
        StreamReader(trust: trust, contentNamespaces: contentNamespaces, limits: limits, parsers: parsers)
    }

    /// The lines for bytes that arrive in these pieces.
    func lines(_ pieces: [[UInt8]]) -> [String] {
        let reader = self.reader()
        var lines: [String] = []
        for piece in pieces {
            reader.receive(ByteBuffer(bytes: piece))
            do {
                while let event = try reader.next() {
                    lines.append(Self.describe(event))
                }
            } catch {
                lines.append("! \(error)")
                return lines
            }
        }
        return lines
    }

    func lines(_ text: String) -> [String] {
        self.lines([Array(text.utf8)])
    }

    /// The lines for the bytes in one piece, having checked that no other division makes a difference.
    func verified(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
        let whole = self.lines([bytes])
        let single = self.lines(bytes.map { [$0] })
        #expect(single == whole, "byte by byte", sourceLocation: sourceLocation)
        for cut in bytes.indices {
            let parts = self.lines([Array(bytes[..<cut]), Array(bytes[cut...])])
            if parts != whole {
                Issue.record("cut at \(cut): \(parts) instead of \(whole)", sourceLocation: sourceLocation)
                break
            }
        }
        return whole
    }

    func verified(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
        self.verified(Array(text.utf8), sourceLocation: sourceLocation)
    }

    /// The elements of a document that has no fault.
    func elements(_ text: String) throws -> [StreamElement] {
        let reader = self.reader()
        reader.receive(ByteBuffer(string: text))
        var elements: [StreamElement] = []
        while let event = try reader.next() {
            if case .element(let element) = event { elements.append(element) }
        }
        return elements
    }

    static func describe(_ event: StreamReader.Event) -> String {
        switch event {
        case .streamOpened(let header):
            "open {\(header.namespace)}\(header.name) \(header.contentNamespace ?? "-")\(describe(header.attributes))"
        case .streamClosed: "close"
        case .route(let route):
            "route \(route.from) \(route.to) |\(String(buffer: route.content))|"
        case .element(let element):
            "{\(element.namespace)}\(element.name)\(describe(element.attributes)) |\(String(buffer: element.content))|"
                + (element.payload.map { " {\($0.namespace)}\($0.name)" } ?? "")
                + (element.inner.map {
                    " inner {\($0.namespace)}\($0.name)\(describe($0.attributes)) |\(String(buffer: $0.content))|"
                        + ($0.payload.map { " {\($0.namespace)}\($0.name)" } ?? "")
                } ?? "")
        }
    }

    static func describe(_ attributes: [TagAttribute]) -> String {
        attributes.map { " \($0.name)=\($0.value)" }.joined()
    }
}
