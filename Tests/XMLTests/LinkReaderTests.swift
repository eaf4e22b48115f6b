// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XMLTestSupport

@testable import XML

@Suite struct LinkReaderTests {
    static let opened =
        "open {http://etherx.jabber.org/streams}stream jabber:component:accept "
        + "xmlns:stream=http://etherx.jabber.org/streams xmlns:j=urn:jackdaw:link:0 to=a"

    @Test(
        "An internal link is read by its start tags alone",
        arguments: [
            ("<handshake/>", "{jabber:component:accept}handshake ||"),
            (
                "<message from='a@b/c' to='d&#64;e'><body>1</body></message>",
                "{jabber:component:accept}message from=a@b/c to=d@e |<body>1</body>| {jabber:component:accept}body"
            ),
            (
                "<iq><q:query xmlns:q='urn:q'><q:a/></q:query></iq>",
                "{jabber:component:accept}iq |<q:query xmlns:q='urn:q'><q:a/></q:query>| {urn:q}query"
            ),
            (
                "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
                "{http://etherx.jabber.org/streams}error |<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>| "
                    + "{urn:ietf:params:xml:ns:xmpp-streams}conflict"
            ),
            (
                "<j:declare epoch='1'><j:name>b</j:name><j:default-route/></j:declare>",
                "{urn:jackdaw:link:0}declare epoch=1 |<j:name>b</j:name><j:default-route/>| {urn:jackdaw:link:0}name"
            ),
            (
                "<j:route from='a' to='b' s='x' n='1'><message to='c'><body>1</body></message></j:route>",
                "{urn:jackdaw:link:0}route from=a to=b s=x n=1 |<message to='c'><body>1</body></message>| "
                    + "{jabber:component:accept}message inner {jabber:component:accept}message to=c |<body>1</body>| "
                    + "{jabber:component:accept}body"
            ),
            (
                "<j:route to='b'><opened xmlns='urn:jackdaw:session:0' jid='a@b/c'/></j:route>",
                "{urn:jackdaw:link:0}route to=b |<opened xmlns='urn:jackdaw:session:0' jid='a@b/c'/>| "
                    + "{urn:jackdaw:session:0}opened inner {urn:jackdaw:session:0}opened jid=a@b/c ||"
            ),
            (
                "<j:route><a/><b><c/></b></j:route>",
                "{urn:jackdaw:link:0}route |<a/><b><c/></b>| {jabber:component:accept}a "
                    + "inner {jabber:component:accept}a ||"
            ),
            (
                "<j:route><a><b/><c><d/></c></a><e><f/></e></j:route>",
                "{urn:jackdaw:link:0}route |<a><b/><c><d/></c></a><e><f/></e>| {jabber:component:accept}a "
                    + "inner {jabber:component:accept}a |<b/><c><d/></c>| {jabber:component:accept}b"
            ),
            ("<j:route/>", "{urn:jackdaw:link:0}route ||"),
            ("<j:route>text</j:route>", "{urn:jackdaw:link:0}route |text|"),
            // What a judge would refuse.
            ("<message><x:y/></message>", "{jabber:component:accept}message |<x:y/>| {}y"),
            (
                "<message><a>&nope; & \u{1}</b></a></message>",
                "{jabber:component:accept}message |<a>&nope; & \u{1}</b>| {jabber:component:accept}a"
            ),
            ("<message><a =/></message>", "{jabber:component:accept}message |<a =/>|"),
            (
                "<message><![CDATA[</message>]]><a b='/>'/></message>",
                "{jabber:component:accept}message |<![CDATA[</message>]]><a b='/>'/>| {jabber:component:accept}a"
            ),
            (" \n<presence a='\r\n&#x1F600;&quot;'/>", "{jabber:component:accept}presence a= 😀\" ||"),
        ]
    )
    func link(body: String, expected: String) {
        // The document with the stray end tag ends its element early; only the first event counts here.
        let lines = StreamTranscript.link.verified("<?xml version='1.0'?>" + componentHeader + body)
        #expect(lines.first == Self.opened)
        #expect(lines.dropFirst().first == expected)
    }

    @Test(
        "A start tag that cannot be read ends the link",
        arguments: [
            ("<a b/>", "! notWellFormed"), ("<a b='&nope;'/>", "! notWellFormed"),
            ("<a b='1'c='2'/>", "! notWellFormed"),
            ("<x:a/>", "! notWellFormed"), ("<a b='&#xD800;'/>", "! notWellFormed"), ("</>", "! notWellFormed"),
            ("<a b='&#x110000;'/>", "! notWellFormed"), ("<a b='&#99999999999;'/>", "! notWellFormed"),
            ("a", "! textOutsideStanza"), ("</b>", "! notWellFormed"), ("<!-- -->", "! restrictedXML"),
            ("</stream:stream>", "close"),
        ]
    )
    func linkFaults(body: String, expected: String) {
        #expect(StreamTranscript.link.verified(componentHeader + body) == [Self.opened, expected])
    }

    @Test(
        "The header of a link is judged",
        arguments: [
            (
                "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
                "! invalidNamespace"
            ),
            ("<stream:stream xmlns='jabber:component:accept'>", "! invalidNamespace"),
            (
                "<stream:a xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>",
                "! badFormat"
            ),
        ]
    )
    func linkHeaders(header: String, expected: String) {
        #expect(StreamTranscript.link.verified(header) == [expected])
    }

    @Test("A payload may have any depth and any namespace on an internal link")
    func deepPayload() throws {
        let levels = 5_000
        let payload = String(repeating: "<p:a>", count: levels) + String(repeating: "</p:a>", count: levels)
        let elements = try StreamTranscript.link.elements(componentHeader + "<message>\(payload)</message><presence/>")
        #expect(elements.map(\.name) == ["message", "presence"])
        #expect(elements.first.map { String(buffer: $0.content) } == payload)
    }

    @Test("The bytes of an element may be forwarded: they are what was read")
    func bytes() throws {
        let route = "<j:route from='a'  to=\"b\"><message><body xml:lang='de'><![CDATA[1]]></body></message></j:route>"
        let element = try #require(try StreamTranscript.link.elements(componentHeader + " " + route + " ").first)
        #expect(String(buffer: element.bytes) == route)
        let inner = try #require(element.inner)
        #expect(String(buffer: inner.bytes) == "<message><body xml:lang='de'><![CDATA[1]]></body></message>")
        #expect(String(buffer: inner.content) == "<body xml:lang='de'><![CDATA[1]]></body>")
    }

    @Test("A stream that was foreign up to its handshake may become an internal link")
    func trustAfterHandshake() throws {
        var transcript = StreamTranscript()
        transcript.contentNamespaces = ["jabber:component:accept"]
        let reader = transcript.reader()
        reader.receive(
            ByteBuffer(string: componentHeader + "<handshake>ab</handshake><j:route to='b'><x:y/></j:route><z:z/>")
        )
        var lines: [String] = []
        #expect(throws: StreamReader.Failure.notWellFormed) {
            while let event = try reader.next() {
                lines.append(StreamTranscript.describe(event))
                if case .element(let element) = event, element.name == "handshake" { reader.trust = .internalLink }
            }
        }
        #expect(lines.count == 3)
        #expect(lines.last == "{urn:jackdaw:link:0}route to=b |<x:y/>| {}y inner {}y ||")
    }
}
