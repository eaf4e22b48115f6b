// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing
import XMLTestSupport

@testable import XML

/// Wrappers that tell their length (`docs/protocols.md`, section 1).
@Suite struct RouteFrameTests {
    private static func frame(_ content: String, attributes: String = " from='a' to='b'") -> String {
        "<j:route b='\(content.utf8.count)'\(attributes)>\(content)</j:route>"
    }

    @Test(
        "A wrapper is taken by its length, whatever its content is",
        arguments: [
            (frame("<message to='c'/>"), "route a b |<message to='c'/>|"),
            (frame(""), "route a b ||"),
            (frame("</j:route><!-- & \u{0}"), "route a b |</j:route><!-- & \u{0}|"),
            (frame("ä", attributes: " to=\"b\" odd='&lt;' from='a'"), "route a b |ä|"),
            ("<j:route b='000001' from='a' to='b' >x</j:route>", "route a b |x|"),
            (frame("x", attributes: " to='b'"), "route  b |x|"),
            (" \n" + frame("x"), "route a b |x|"),
        ]
    )
    func frames(body: String, expected: String) {
        let text = componentHeader + body + body + "<presence/>"
        #expect(
            StreamTranscript.link.verified(text).dropFirst()
                == [expected, expected, "{jabber:component:accept}presence ||"]
        )
    }

    @Test(
        "A wrapper that lies about its length ends the link",
        arguments: [
            ("<j:route b='1' from='a' to='b'>xx</j:route>", "! notWellFormed"),
            ("<j:route b='3' from='a' to='b'>xx</j:route><j:declared/>", "! notWellFormed"),
            ("<j:route b='' from='a'>x</j:route>", "! notWellFormed"),
            ("<j:route b='-1' from='a'>x</j:route>", "! notWellFormed"),
            ("<j:route b='1' from='&lt;'>x</j:route>", "! notWellFormed"),
            ("<j:route b='1' n='x'>x</j:route>", "! notWellFormed"),
            ("<j:route b='18446744073709551616'>x</j:route>", "! notWellFormed"),
            ("<j:route b='9223372036854775807'>x</j:route>", "! stanzaTooLarge"),
            ("<j:route b='65536' from='a' to='b'>", "! stanzaTooLarge"),
            ("<j:route b='1' " + String(repeating: "x", count: 5_000), "! stanzaTooLarge"),
        ]
    )
    func lies(body: String, expected: String) {
        #expect(StreamTranscript.link.lines(componentHeader + body).dropFirst() == [expected])
        #expect(StreamTranscript.link.lines((componentHeader + body).utf8.map { [$0] }).dropFirst() == [expected])
    }

    @Test("An attribute can be added at the end of the start tag")
    func split() throws {
        let reader = StreamTranscript.link.reader()
        reader.receive(ByteBuffer(string: componentHeader + Self.frame("<a/>")))
        _ = try reader.next()
        guard case .route(let frame)? = try reader.next() else {
            Issue.record("no wrapper")
            return
        }
        let (start, rest) = frame.splitBeforeTagEnd()
        #expect(String(buffer: start) == "<j:route b='4' from='a' to='b'")
        #expect(String(buffer: rest) == "><a/></j:route>")
        #expect(frame.isFrom(Array("a".utf8)) && frame.isTo(Array("b".utf8)))
        #expect(!frame.isTo(Array("bb".utf8)))
    }

    @Test("The framer finds what expat finds in what our serialiser writes", arguments: 0..<100)
    func oracle(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var text = ""
        var contents: [Element] = []
        for _ in 0...random.below(5) {
            let content = Element.random(&random, levels: 3)
            contents.append(content)
            text += Self.frame(content.description(inheriting: "jabber:component:accept"))
        }
        // Expat's view of the whole stream.
        let all = "<all xmlns='jabber:component:accept' xmlns:j='urn:jackdaw:link:0'>\(text)</all>"
        let oracle = try Element(parsing: ByteBuffer(string: all), namespace: "").childElements
        #expect(oracle.map(\.childElements) == contents.map { [$0] })
        // The framer's, with the stream cut at random.
        let reader = StreamTranscript.link.reader()
        var rest = ByteBuffer(string: componentHeader + text)
        var found: [[Element]] = []
        while rest.readableBytes > 0 {
            let count = min(rest.readableBytes, 1 + random.below(200))
            let piece = rest.readSlice(length: count)
            reader.receive(try #require(piece))
            while let event = try reader.next() {
                guard case .route(let frame) = event else { continue }
                let nodes = try Element.parseFragment(frame.content, namespace: "jabber:component:accept")
                found.append(nodes.compactMap { if case .element(let element) = $0 { element } else { nil } })
                let inner = try #require(frame.inner())
                #expect(try inner.element() == found.last?.first)
            }
        }
        #expect(found == oracle.map(\.childElements))
    }
}
