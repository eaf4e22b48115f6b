// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XMLTestSupport

@testable import XML

@Suite struct StreamReaderTests {
    static let client =
        "open {http://etherx.jabber.org/streams}stream jabber:client "
        + "xmlns:stream=http://etherx.jabber.org/streams to=a version=1.0"

    @Test(
        "A stream is its header, its elements and its end, in whatever pieces it comes",
        arguments: [
            ("", []),
            ("<presence/>", ["{jabber:client}presence ||"]),
            (
                "<message to='a@b' from=\"c\"><body>hi</body></message>",
                [
                    "{jabber:client}message to=a@b from=c |<body>hi</body>| {jabber:client}body"
                ]
            ),
            (" \n\t<presence/> \r\n <presence/>", ["{jabber:client}presence ||", "{jabber:client}presence ||"]),
            (
                "<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
                [
                    "{jabber:client}iq id=1 type=get |<query xmlns='jabber:iq:roster'/>| {jabber:iq:roster}query"
                ]
            ),
            ("<message xml:lang='de' a='&lt;&#x41;&amp;'/>", ["{jabber:client}message xml:lang=de a=<A& ||"]),
            ("<message a='x\ny\tz'  b = \"it's\" ></message >", ["{jabber:client}message a=x y z b=it's ||"]),
            ("<message a='1>2'>a > b</message>", ["{jabber:client}message a=1>2 |a > b|"]),
            (
                "<message><body><![CDATA[<no> ]] ]]]></body></message>",
                [
                    "{jabber:client}message |<body><![CDATA[<no> ]] ]]]></body>| {jabber:client}body"
                ]
            ),
            (
                "<message><body>&#228; &gt; ä 😀</body></message>",
                [
                    "{jabber:client}message |<body>&#228; &gt; ä 😀</body>| {jabber:client}body"
                ]
            ),
            (
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>",
                [
                    "{urn:ietf:params:xml:ns:xmpp-sasl}auth mechanism=PLAIN |AGE=|"
                ]
            ),
            (
                "<message xmlns='jabber:client'><body>1</body></message>",
                [
                    "{jabber:client}message |<body>1</body>| {jabber:client}body"
                ]
            ),
            (
                "<message xmlns:x='urn:x' x:y='1'><body/></message>",
                [
                    "{jabber:client}message xmlns:x=urn:x x:y=1 |<body/>| {jabber:client}body"
                ]
            ),
            (
                "<message><x:y xmlns:x='urn:x' x:a='1'><x:z/></x:y></message>",
                [
                    "{jabber:client}message |<x:y xmlns:x='urn:x' x:a='1'><x:z/></x:y>| {urn:x}y"
                ]
            ),
            (
                "<a><b/><c/></a><d><e><f/></e></d>",
                [
                    "{jabber:client}a |<b/><c/>| {jabber:client}b", "{jabber:client}d |<e><f/></e>| {jabber:client}e",
                ]
            ),
            ("</stream:stream>", ["close"]),
            ("</stream:stream >trailing", ["close"]),
            ("<presence/></stream:stream>", ["{jabber:client}presence ||", "close"]),
        ]
    )
    func stream(body: String, expected: [String]) {
        for start in ["", "<?xml version='1.0'?>", "  \n<?xml version=\"1.0\" encoding='utf-8' ?>\n "] {
            #expect(StreamTranscript().verified(start + clientHeader + body) == [Self.client] + expected)
        }
    }

    @Test(
        "An element that needs the root, or names the content namespace in another way, is written anew",
        arguments: [
            // A prefix of the root.
            (
                "<message><r:x r:a='1'><r:y/></r:x></message>",
                "{jabber:client}message |<x xmlns='urn:r' xmlns:ns0='urn:r' ns0:a='1'><y/></x>| {urn:r}x"
            ),
            ("<message r:a='1'/>", "{jabber:client}message xmlns:ns0=urn:r ns0:a=1 ||"),
            (
                "<message><r:x>a<![CDATA[<&]]>'</r:x></message>",
                "{jabber:client}message |<x xmlns='urn:r'>a&lt;&amp;'</x>| {urn:r}x"
            ),
            // A prefix of the stanza's start tag is no part of its content.
            ("<message xmlns:x='urn:x'><x:y/></message>", "{jabber:client}message |<y xmlns='urn:x'/>| {urn:x}y"),
            // The content namespace by a prefix, or declared again.
            (
                "<c:message to='a'><c:body>1</c:body></c:message>",
                "{jabber:client}message to=a |<body>1</body>| {jabber:client}body"
            ),
            (
                "<d:message xmlns:d='jabber:client'><d:body/></d:message>",
                "{jabber:client}message |<body/>| {jabber:client}body"
            ),
            (
                "<message><body xmlns='jabber:client'>1</body></message>",
                "{jabber:client}message |<body>1</body>| {jabber:client}body"
            ),
            (
                "<message><d:body xmlns:d='jabber:client'>1</d:body></message>",
                "{jabber:client}message |<body>1</body>| {jabber:client}body"
            ),
            ("<s:auth xmlns:s='urn:s'><s:a/><b/></s:auth>", "{urn:s}auth |<a/><b xmlns='jabber:client'/>| {urn:s}a"),
            (
                "<message><x xmlns='urn:x'><r:y/></x></message>",
                "{jabber:client}message |<x xmlns='urn:x'><y xmlns='urn:r'/></x>| {urn:x}x"
            ),
            // Within a stanza any content namespace is that of the stream.
            (
                "<message><body xmlns='jabber:server'><a xmlns='jabber:component:accept'/></body></message>",
                "{jabber:client}message |<body><a/></body>| {jabber:client}body"
            ),
            // What must stay: other namespaces by a prefix, the content namespace within them.
            (
                "<message><f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f></message>",
                "{jabber:client}message |<f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f>| {urn:f}f"
            ),
            (
                "<message><f xmlns='urn:f' xmlns:c='jabber:client'><c:message/></f></message>",
                "{jabber:client}message |<f xmlns='urn:f' xmlns:c='jabber:client'><c:message/></f>| {urn:f}f"
            ),
            (
                "<message><x xmlns:p='urn:p'><p:a/></x><p:b xmlns:p='urn:q'/></message>",
                "{jabber:client}message |<x xmlns:p='urn:p'><p:a/></x><p:b xmlns:p='urn:q'/>| {jabber:client}x"
            ),
            ("<message><a xml:lang='de'/></message>", "{jabber:client}message |<a xml:lang='de'/>| {jabber:client}a"),
        ]
    )
    func normalisation(body: String, expected: String) {
        let header = clientHeader.dropLast() + " xmlns:r='urn:r' xmlns:c='jabber:client'>"
        let lines = StreamTranscript().verified(header + body)
        #expect(lines.dropFirst() == [expected])
    }

    @Test(
        "A first-level element in the content namespace of other streams is refused at its start tag",
        arguments: [
            "<message xmlns='jabber:server'>", "<message xmlns='jabber:component:accept'/>",
            "<s:iq xmlns:s='jabber:server' type='get'/>", "<r:presence/>", "<surprise xmlns='jabber:server'/>",
            "<message xmlns='jabber:server'><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>",
        ]
    )
    func contentNamespaceOfOtherStreams(element: String) {
        let header = clientHeader.dropLast() + " xmlns:r='jabber:server'>"
        let lines = StreamTranscript().verified(header + "<presence/>" + element)
        #expect(lines.dropFirst() == ["{jabber:client}presence ||", "! invalidNamespace"])
        let undeclared = "<stream xmlns='http://etherx.jabber.org/streams' xmlns:r='jabber:server'>"
        #expect(StreamTranscript().verified(undeclared + element).dropFirst() == ["! invalidNamespace"])
    }

    @Test("A forwarded message keeps the content namespace that it has, whichever that is")
    func forwardedContentNamespace() {
        for namespace in ["jabber:client", "jabber:server", "jabber:component:accept"] {
            let content = "<f xmlns='urn:xmpp:forward:0'><message xmlns='\(namespace)'><body/></message></f>"
            #expect(
                StreamTranscript().verified(clientHeader + "<message>\(content)</message>").dropFirst()
                    == ["{jabber:client}message |\(content)| {urn:xmpp:forward:0}f"]
            )
        }
    }

    @Test("A prefix is the child's own affair after its declaration has ended")
    func prefixScope() {
        let header = clientHeader.dropLast() + " xmlns:p='urn:root'>"
        let lines = StreamTranscript().verified(header + "<m><x xmlns:p='urn:p'/><p:b/></m>")
        #expect(
            lines.last == "{jabber:client}m |<x/><b xmlns='urn:root'/>| {jabber:client}x"
        )
    }

    @Test("The content namespace may be declared by the stanzas")
    func namespaceOnStanzas() {
        let header = "<stream xmlns='http://etherx.jabber.org/streams' to='a'>"
        let lines = StreamTranscript().verified(header + "<message xmlns='jabber:client'><body/></message>")
        #expect(
            lines == [
                "open {http://etherx.jabber.org/streams}stream http://etherx.jabber.org/streams to=a",
                "{jabber:client}message |<body/>| {jabber:client}body",
            ]
        )
    }

    @Test(
        "A header is judged",
        arguments: [
            (
                "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
                "! invalidNamespace"
            ),
            ("<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>", "! invalidNamespace"),
            ("<stream xmlns='jabber:client'>", "! invalidNamespace"),
            ("<stream>", "! invalidNamespace"),
            ("<stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "! badFormat"),
            ("<stream:stream xmlns='jabber:client'>", "! badNamespacePrefix"),
            ("<?xml version='1.0' encoding='ISO-8859-1'?><stream>", "! unsupportedEncoding"),
            ("<?xml version='1.0' encoding='UTF-16'?><stream>", "! unsupportedEncoding"),
            ("<?xml version='1.0'?><?xml version='1.0'?>", "! restrictedXML"),
            ("<?xml version='1.0'?><!DOCTYPE a>", "! restrictedXML"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><stream>", "! restrictedXML"),
            ("<!-- a --><stream>", "! restrictedXML"),
            ("<?a b?>", "! restrictedXML"),
            ("<?xml-stylesheet?>", "! restrictedXML"),
            ("<?xml bogus?>", "! notWellFormed"),
            ("\u{FEFF}<stream>", "! notWellFormed"),
            ("GET / HTTP/1.1\r\n", "! notWellFormed"),
            ("</stream>", "! notWellFormed"),
            ("<stream a='1' a='2'>", "! notWellFormed"),
            ("<stream a=1>", "! notWellFormed"),
            ("<<stream>", "! notWellFormed"),
            ("<![CDATA[a]]>", "! notWellFormed"),
        ]
    )
    func headerFaults(document: String, failure: String) {
        #expect(StreamTranscript().verified(document) == [failure])
    }

    @Test(
        "An encoding other than UTF-8 is refused by its first bytes",
        arguments: [
            [0xFE, 0xFF, 0, 0x3C], [0xFF, 0xFE, 0x3C, 0], [0x3C, 0, 0x3F, 0], [0, 0x3C, 0, 0x3F],
        ] as [[UInt8]]
    )
    func encodings(bytes: [UInt8]) {
        #expect(StreamTranscript().verified(bytes) == ["! unsupportedEncoding"])
    }

    @Test(
        "What follows the header is judged",
        arguments: [
            ("<message>", []),
            ("text", ["! textOutsideStanza"]),
            ("<presence/>a", ["{jabber:client}presence ||", "! textOutsideStanza"]),
            ("&amp;", ["! textOutsideStanza"]),
            ("<![CDATA[a]]>", ["! textOutsideStanza"]),
            ("<a></b>", ["! notWellFormed"]),
            ("<a><b></a>", ["! notWellFormed"]),
            ("<a><b></a></b>", ["! notWellFormed"]),
            ("<a/></b>", ["{jabber:client}a ||", "! notWellFormed"]),
            ("</stream>", ["! notWellFormed"]),
            ("<a b='1' b='2'/>", ["! notWellFormed"]),
            ("<a b/>", ["! notWellFormed"]),
            ("<a b='<'/>", ["! notWellFormed"]),
            ("<a<b/>", ["! notWellFormed"]),
            ("<>", ["! notWellFormed"]),
            ("</>", ["! notWellFormed"]),
            ("< a/>", ["! notWellFormed"]),
            ("<a>]]></a>", ["! notWellFormed"]),
            ("<a>& </a>", ["! notWellFormed"]),
            ("<a>&#0;</a>", ["! notWellFormed"]),
            ("<a>&#xFFFE;</a>", ["! notWellFormed"]),
            ("<a b='&#0;'/>", ["! notWellFormed"]),
            ("<a>\u{1}</a>", ["! notWellFormed"]),
            ("<a>\u{0}</a>", ["! notWellFormed"]),
            ("\u{0}", ["! notWellFormed"]),
            ("<a b='\u{0}'/>", ["! notWellFormed"]),
            ("<a>\u{FFFE}</a>", ["! notWellFormed"]),
            ("<a>&nbsp;</a>", ["! restrictedXML"]),
            ("<a b='&nbsp;'/>", ["! restrictedXML"]),
            ("<a><!-- b --></a>", ["! restrictedXML"]),
            ("<!-- b -->", ["! restrictedXML"]),
            ("<a><?b?></a>", ["! restrictedXML"]),
            ("<?xml version='1.0'?>", ["! restrictedXML"]),
            ("<a><!DOCTYPE b></a>", ["! restrictedXML"]),
            ("<a><![IGNORE[b]]></a>", ["! restrictedXML"]),
            ("<x:a/>", ["! badNamespacePrefix"]),
            ("<a x:b='1'/>", ["! badNamespacePrefix"]),
            ("<a><x:b/></a>", ["! badNamespacePrefix"]),
            ("<a xmlns:x=''/>", ["! notWellFormed"]),
            ("<a xmlns:xml='urn:a'/>", ["! notWellFormed"]),
            ("<a xmlns:xmlns='urn:a'/>", ["! notWellFormed"]),
            ("<a:b:c xmlns:a='urn:a'/>", ["! notWellFormed"]),
            ("<a xmlns:b='urn:x' xmlns:c='urn:x' b:d='1' c:d='2'/>", ["! notWellFormed"]),
            ("<a/><?", ["{jabber:client}a ||", "! restrictedXML"]),
            ("<a>x<!", []),
            ("<a>x<!-", ["! restrictedXML"]),
            ("<stream:error/>", ["{http://etherx.jabber.org/streams}error ||"]),
        ]
    )
    func faults(body: String, expected: [String]) {
        #expect(StreamTranscript().verified(clientHeader + body) == [Self.client] + expected)
    }

    @Test(
        "Bytes that are no UTF-8 are not well-formed",
        arguments: [
            [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0xAF], [0xF0, 0x80, 0x80, 0xAF], [0xED, 0xA0, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0x80], [0xFF], [0xE2, 0x28, 0xA1],
        ] as [[UInt8]]
    )
    func encodingFaults(bytes: [UInt8]) {
        for (before, after) in [("<a>", "</a>"), ("<a b='", "'/>"), ("<a><![CDATA[", "]]></a>"), ("<a", "/>")] {
            let document = Array((clientHeader + before).utf8) + bytes + Array(after.utf8)
            #expect(StreamTranscript().verified(document) == [Self.client, "! notWellFormed"])
        }
        // Between elements the first byte decides: it is text, if it can begin a character.
        let between = (0xC2...0xF4).contains(bytes[0]) ? "! textOutsideStanza" : "! notWellFormed"
        #expect(StreamTranscript().verified(Array(clientHeader.utf8) + bytes) == [Self.client, between])
    }

    @Test("A failure stays")
    func failureStays() {
        let reader = StreamTranscript().reader()
        reader.receive(ByteBuffer(string: clientHeader + "<a></b><presence/>"))
        #expect(throws: Never.self) { _ = try reader.next() }
        #expect(throws: StreamReader.Failure.notWellFormed) { _ = try reader.next() }
        reader.receive(ByteBuffer(string: "<presence/>"))
        #expect(throws: StreamReader.Failure.notWellFormed) { _ = try reader.next() }
    }

    @Test("A reset begins a new stream and drops what was received")
    func reset() throws {
        let reader = StreamTranscript().reader()
        reader.receive(
            ByteBuffer(string: clientHeader + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/> \n<injected/>")
        )
        _ = try reader.next()
        _ = try reader.next()
        #expect(reader.hasUnreadInput)
        reader.reset()
        #expect(!reader.hasUnreadInput)
        reader.receive(ByteBuffer(string: " \n<?xml version='1.0'?>" + clientHeader + "<presence/> "))
        var lines: [String] = []
        while let event = try reader.next() { lines.append(StreamTranscript.describe(event)) }
        #expect(lines == [Self.client, "{jabber:client}presence ||"])
        #expect(!reader.hasUnreadInput)
    }

    @Test("A root that is an empty element opens and closes the stream")
    func emptyRoot() {
        let header = String(clientHeader.dropLast()) + "/>"
        #expect(StreamTranscript().verified(header) == [Self.client, "close"])
    }
}
