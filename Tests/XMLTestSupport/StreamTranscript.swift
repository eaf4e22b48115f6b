// SPDX-License-Identifier: Apache-2.0

import NIOCore
package import XML

package let clientHeader =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>"
package let componentHeader =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' xmlns:j='urn:jackdaw:link:0' to='a'>"

/// What a reader makes of bytes, one line an event.
package struct StreamTranscript {
    package var trust = StreamReader.Trust.foreign
    package var contentNamespaces: Set<String> = ["jabber:client"]
    package var limits = StreamReader.Limits()
    package var parsers: StreamParserCache?

    package init(
        trust: StreamReader.Trust = .foreign,
        contentNamespaces: Set<String> = ["jabber:client"],
        limits: StreamReader.Limits = StreamReader.Limits(),
        parsers: StreamParserCache? = nil
    ) {
        self.trust = trust
        self.contentNamespaces = contentNamespaces
        self.limits = limits
        self.parsers = parsers
    }

    /// What one of our processes reads from another.
    package static var link: StreamTranscript {
        StreamTranscript(trust: .internalLink, contentNamespaces: ["jabber:component:accept"])
    }

    /// What one of our processes reads of a client's stanzas.
    package static var clientLink: StreamTranscript {
        StreamTranscript(trust: .internalLink, contentNamespaces: ["jabber:client"])
    }

    package func reader() -> StreamReader {
        StreamReader(
            trust: self.trust,
            contentNamespaces: self.contentNamespaces,
            limits: self.limits,
            parsers: self.parsers
        )
    }

    /// The lines for bytes that arrive in these pieces.
    package func lines(_ pieces: [[UInt8]]) -> [String] {
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

    package func lines(_ text: String) -> [String] {
        self.lines([Array(text.utf8)])
    }

    /// The elements of a document that has no fault.
    package func elements(_ text: String) throws -> [StreamElement] {
        let reader = self.reader()
        reader.receive(ByteBuffer(string: text))
        var elements: [StreamElement] = []
        while let event = try reader.next() {
            if case .element(let element) = event { elements.append(element) }
        }
        return elements
    }

    package static func describe(_ event: StreamReader.Event) -> String {
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

    package static func describe(_ attributes: [TagAttribute]) -> String {
        attributes.map { " \($0.name)=\($0.value)" }.joined()
    }
}
