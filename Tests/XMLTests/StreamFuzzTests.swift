// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing

@testable import XML

/// Documents changed at random: whatever comes, the reader answers the same in any pieces, holds its memory bounds,
/// and what it lets pass is read alike by the inner readers.
@Suite struct StreamFuzzTests {
    static let seeds = [
        "<?xml version='1.0'?>\(clientHeader)<message to='a' id='1'><body>hi &amp; ho</body></message>"
            + "<iq type='get'><query xmlns='jabber:iq:roster'/></iq></stream:stream>",
        "\(clientHeader)<m xmlns:x='urn:x'><x:a x:b='1'><![CDATA[<>]]]></x:a><b xmlns='jabber:client'/></m>",
        "\(clientHeader)<c:m xmlns:c='jabber:client'><c:a><b xmlns='urn:b'><c:d/></b></c:a></c:m><presence/>",
        "\(clientHeader.dropLast()) xmlns:r='urn:r'><m r:a='1'><r:b/><stream:c xml:lang='de'/>&#x1F600;ä</m> \n <p/>",
        "\(clientHeader)<j:route xmlns:j='urn:jackdaw:link:0' to='b'><m><b xmlns=\"u\">\"</b></m></j:route>",
    ]
    static let pieces = [
        "<", ">", "/", "'", "\"", "&", ";", "=", ":", " ", "<!", "<?", "]]>", "<![CDATA[", "xmlns",
        "xmlns:x='jabber:client'",
        "xmlns='jabber:client'", "xmlns=''", "&lt;", "&#0;", "\u{0}", "ä", "<a>", "</a>", "<a/>", "</m>", "<c:d>",
        "stream:", "j:",
        "xmlns='jabber:component:accept'",
    ]

    private func mutated(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = Array(Self.seeds[random.below(Self.seeds.count)].utf8)
        for _ in 0...random.below(4) {
            let at = random.below(bytes.count)
            switch random.below(6) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)].utf8, at: at)
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + random.below(20)))
            case 4:
                let from = random.below(bytes.count)
                bytes.insert(contentsOf: Array(bytes[from..<min(bytes.count, from + random.below(40))]), at: at)
            default: bytes.swapAt(at, random.below(bytes.count))
            }
            if bytes.isEmpty { bytes = [0x3C] }
        }
        return bytes
    }

    @Test("Random changes are read alike in any pieces, by both kinds of reader", arguments: 0..<8)
    func mutations(part: UInt64) {
        var transcript = StreamTranscript()
        transcript.limits = StreamReader.Limits(stanzaBytes: 150, tagBytes: 100, depth: 5, attributes: 4)
        var link = StreamTranscript(trust: .internalLink, contentNamespaces: ["jabber:client"])
        link.limits.stanzaBytes = 400
        for seed in 0..<200 {
            var random = SeededGenerator(seed: part << 32 | UInt64(seed))
            let bytes = self.mutated(&random)
            for transcript in [StreamTranscript(), transcript, link] {
                let whole = transcript.lines([bytes])
                let single = transcript.lines(bytes.map { [$0] })
                let cut = random.below(bytes.count)
                let parts = transcript.lines([Array(bytes[..<cut]), Array(bytes[cut...])])
                #expect(whole == single && whole == parts, "part \(part), seed \(seed)")
            }
        }
    }

    @Test("What passes the edge means the same to the inner readers", arguments: 0..<8)
    func agreement(part: UInt64) throws {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: part << 32 | UInt64(seed))
            let reader = StreamTranscript().reader()
            reader.receive(ByteBuffer(bytes: self.mutated(&random)))
            while let event = try? reader.next() {
                guard case .element(let element) = event else { continue }
                try self.compare(element, "part \(part), seed \(seed)")
            }
        }
    }

    /// The element sent over an internal link, and parsed as a tree, is what the edge said it is.
    private func compare(_ element: StreamElement, _ comment: Comment) throws {
        let tree = try element.element()
        var link = StreamTranscript.link
        link.contentNamespaces = ["jabber:client"]
        let header = clientHeader.dropLast() + " xmlns:j='urn:jackdaw:link:0'>"
        let elements = try link.elements(header + String(buffer: element.bytes))
        let inner = try #require(elements.first, comment)
        #expect(elements.count == 1, comment)
        #expect(inner.name == element.name && inner.namespace == element.namespace, comment)
        #expect(Set(inner.attributes.map(\.name)) == Set(element.attributes.map(\.name)), comment)
        for attribute in element.attributes {
            #expect(inner[attribute.name] == attribute.value, comment)
        }
        // Expat, which judged the bytes, reads the same attributes off them.
        let parsed = try Element(parsing: element.bytes, namespace: element.namespace)
        let declared = { (attribute: TagAttribute) in attribute.name.hasPrefix("xmlns:") }
        #expect(
            parsed.attributes.map(\.value).sorted()
                == element.attributes.filter { !declared($0) }.map(\.value).sorted(),
            comment
        )
        if let tag = StanzaTag(element.bytes) {
            let places = ["to": tag.to, "from": tag.from, "type": tag.type, "id": tag.id, "xml:lang": tag.lang]
            for (name, place) in places {
                #expect(element[name] == place.map { element.bytes.string($0) }, comment)
            }
        }
        #expect(inner.content == element.content, comment)
        #expect(inner.payload?.name == element.payload?.name, comment)
        #expect(inner.payload?.namespace == element.payload?.namespace, comment)
        #expect(try inner.element().children == tree.children, comment)
        #expect(tree.childElements.first?.name == element.payload?.name, comment)
        #expect(tree.childElements.first?.namespace == element.payload?.namespace, comment)
    }
}
