// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing
import XMLTestSupport

@testable import XML

@Suite struct ElementTests {
    private func written(_ element: Element, inheriting namespace: String = "jabber:client") -> String {
        element.description(inheriting: namespace)
    }

    @Test(
        "An element is written with the declarations it needs and no other",
        arguments: [
            (Element("body", "jabber:client", text: "a"), "<body>a</body>"),
            (Element("query", "jabber:iq:roster"), "<query xmlns='jabber:iq:roster'/>"),
            (
                Element(
                    "a",
                    "urn:a",
                    elements: [Element("b", "urn:a"), Element("c", "jabber:client"), Element("d", "")]
                ),
                "<a xmlns='urn:a'><b/><c xmlns='jabber:client'/><d xmlns=''/></a>"
            ),
            (
                Element("a", "jabber:client", attributes: ["x": "1", "y": nil, "xml:lang": "de"]),
                "<a x='1' xml:lang='de'/>"
            ),
            (
                Element("a", "jabber:client", children: ["x", .element(Element("b", "jabber:client")), "y"]),
                "<a>x<b/>y</a>"
            ),
            (
                Element("a", "jabber:client", attributes: ["b": "<&>'\"\t\n\r"], text: "<&>'\"\t\n\r"),
                "<a b='&lt;&amp;&gt;&apos;&quot;&#9;&#10;&#13;'>&lt;&amp;&gt;'\"\t\n&#13;</a>"
            ),
            (
                Element("a", "jabber:client", text: "\u{0}b\u{1}\u{FFFE}\u{FFFF}\u{1F}c\u{FFFD}\u{FF21}"),
                "<a>bc\u{FFFD}\u{FF21}</a>"
            ),
        ]
    )
    func writing(element: Element, expected: String) {
        #expect(written(element) == expected)
    }

    @Test("Attributes of other namespaces get prefixes of their own")
    func attributePrefixes() throws {
        var element = Element("a", "jabber:client")
        for (namespace, name) in [("urn:a", "b"), ("urn:c", "d"), ("urn:a", "e")] {
            element.attributes.append(Element.Attribute(namespace: namespace, name: name, value: "1"))
        }
        let text = written(element)
        #expect(text == "<a xmlns:ns0='urn:a' ns0:b='1' xmlns:ns1='urn:c' ns1:d='1' ns0:e='1'/>")
        #expect(try Element(parsing: ByteBuffer(string: text), namespace: "jabber:client") == element)
    }

    @Test(
        "A fragment becomes nodes",
        arguments: [
            ("", []),
            ("text", ["text"]),
            ("a&amp;<![CDATA[<b>]]>&#99;", ["a&<b>c"]),
            ("<a/>", [.element(Element("a", "urn:d"))]),
            (
                " <a x='1'> <b xmlns='urn:b'>t</b></a>",
                [
                    " ",
                    .element(
                        Element(
                            "a",
                            "urn:d",
                            attributes: ["x": "1"],
                            children: [" ", .element(Element("b", "urn:b", text: "t"))]
                        )
                    ),
                ]
            ),
            ("<p:a xmlns:p='urn:p' xml:lang='de'/>", [.element(Element("a", "urn:p", attributes: ["xml:lang": "de"]))]),
            ("a\r\nb\rc", ["a\nb\nc"]),
        ] as [(String, [Element.Node])]
    )
    func parsing(text: String, nodes: [Element.Node]) throws {
        #expect(try Element.parseFragment(ByteBuffer(string: text), namespace: "urn:d") == nodes)
    }

    @Test(
        "What is no fragment is refused",
        arguments: [
            ("<a>", .notWellFormed), ("</root>", .notWellFormed), ("</root><root>", .notWellFormed),
            ("<a", .notWellFormed),
            ("&", .notWellFormed), ("<a></b>", .notWellFormed), ("\u{0}", .notWellFormed),
            ("<a b='1' b='1'/>", .notWellFormed),
            ("<![CDATA[", .notWellFormed), ("<?xml version='1.0'?>", .notWellFormed),
            ("&nbsp;", .restrictedXML), ("<!-- a -->", .restrictedXML), ("<?a?>", .restrictedXML),
            ("<!DOCTYPE a>", .notWellFormed), ("<p:a/>", .undeclaredPrefix), ("<a p:b='1'/>", .undeclaredPrefix),
            ("<a><b><c><d/></c></b></a>", .tooDeep), ("<a/><a/><a/><a/><a/><a/>", .tooLarge),
            ("<a b='1' c='2' d='3'/>", .tooLarge), ("<a b='1' xmlns='urn:a' xmlns:d='3'/>", .tooLarge),
        ] as [(String, XMLParseError)]
    )
    func refusals(text: String, error: XMLParseError) {
        let limits = Element.Limits(depth: 3, elements: 5, attributes: 2)
        #expect(throws: error) {
            try Element.parseFragment(ByteBuffer(string: text), namespace: "urn:d", limits: limits)
        }
    }

    @Test(
        "A fragment that is not finished does not reach into the next one",
        arguments: [
            "<![CDATA[", "<![CDATA[a]]", "<!--", "<!", "<?a", "<?a ?", "<", "<a", "<a b='", "&", "&am", "</", "</root",
            "</root>",
            "<a>", "<end>", "</end>", "<root>", "\u{1}", "<p:a/>", "<a xmlns:p='urn:p'><p:b>",
        ]
    )
    func unfinished(text: String) throws {
        for _ in 0..<3 {
            #expect(throws: XMLParseError.self) {
                try Element.parseFragment(ByteBuffer(string: text), namespace: "urn:u")
            }
            let next = try Element.parseFragment(ByteBuffer(string: "]<end/>]"), namespace: "urn:u")
            #expect(next == ["]", .element(Element("end", "urn:u")), "]"])
        }
    }

    @Test("Each fragment has its own limits and namespace, whoever parsed before")
    func reuse() throws {
        let bytes = ByteBuffer(string: "<a><b c='1' d='2'/></a>")
        for _ in 0..<3 {
            for namespace in ["urn:1", "urn:2", "", "urn:3", "urn:4", "urn:5"] {
                let nodes = try Element.parseFragment(bytes, namespace: namespace)
                let inner = Element("b", namespace, attributes: ["c": "1", "d": "2"])
                #expect(nodes == [.element(Element("a", namespace, elements: [inner]))])
                #expect(throws: XMLParseError.tooDeep) {
                    try Element.parseFragment(bytes, namespace: namespace, limits: Element.Limits(depth: 1))
                }
                #expect(throws: XMLParseError.tooLarge) {
                    try Element.parseFragment(bytes, namespace: namespace, limits: Element.Limits(elements: 1))
                }
            }
        }
    }

    @Test("As much as the limits say is accepted")
    func accepted() throws {
        let limits = Element.Limits(depth: 3, elements: 5, attributes: 2)
        for text in ["<a><b><c/></b></a>", "<a/><a/><a/><a/><a/>", "<a b='1' c='2'/>"] {
            #expect(throws: Never.self) {
                try Element.parseFragment(ByteBuffer(string: text), namespace: "urn:d", limits: limits)
            }
        }
    }

    @Test("One element is parsed, with white space around it")
    func single() throws {
        #expect(try Element(parsing: ByteBuffer(string: " <a/>\n"), namespace: "urn:d") == Element("a", "urn:d"))
        for text in ["", "a", "<a/><b/>", "<a/>b"] {
            #expect(throws: XMLParseError.notWellFormed) {
                try Element(parsing: ByteBuffer(string: text), namespace: "urn:d")
            }
        }
    }

    @Test("A stream's element becomes a tree, the prefixes of its attributes resolved")
    func streamElement() throws {
        let text = clientHeader + "<message xmlns:x='urn:x' x:y='1' to='a' xml:lang='de'><body>b</body></message>"
        let element = try #require(try StreamTranscript().elements(text).first).element()
        #expect(element["to"] == "a")
        #expect(element["xml:lang"] == "de")
        #expect(element.attributes.first == Element.Attribute(namespace: "urn:x", name: "y", value: "1"))
        #expect(element.attributes.count == 3)
        #expect(element.child("body")?.text == "b")
    }

    @Test("Attributes are set, replaced and removed; children are found by name and namespace")
    func access() {
        var element = Element("a", "urn:a")
        element["b"] = "1"
        element["xml:lang"] = "de"
        element["b"] = "2"
        #expect(element["b"] == "2")
        #expect(element["lang"] == nil)
        element["b"] = nil
        #expect(element.attributes == [Element.Attribute(namespace: Element.xmlNamespace, name: "lang", value: "de")])
        element.append(text: "x")
        element.append(Element("b", "urn:b"))
        element.append(Element("b", "urn:a", text: "y"))
        element.append(text: "z")
        #expect(element.text == "xz")
        #expect(element.child("b", "urn:a")?.text == "y")
        #expect(element.child("b")?.text == "y")
        #expect(element.child("c") == nil)
        #expect(element.childElements.count == 2)
    }

    @Test("What is written is read as the same", arguments: 0..<200)
    func roundTrip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let element = Element.random(&random, levels: 4)
        var buffer = ByteBuffer()
        element.write(to: &buffer, inheriting: "urn:0")
        #expect(try Element(parsing: buffer, namespace: "urn:0") == element)
        // And a stream carries it.
        let stream = clientHeader + "<m>" + element.description(inheriting: "jabber:client") + "</m>"
        let carried = try #require(try StreamTranscript().elements(stream).first)
        #expect(try carried.element().childElements == [element])
    }

    @Test("Namespaces are shared, so that few bytes do not become many")
    func sharedNamespaces() throws {
        let uri = "urn:" + String(repeating: "x", count: 20_000)
        let text = "<a xmlns='\(uri)' xmlns:b='\(uri)1'>" + String(repeating: "<c/><b:c/>", count: 20_000) + "</a>"
        // Without sharing this tree would take 800 MB.
        let element = try Element(parsing: ByteBuffer(string: text), namespace: "")
        #expect(element.children.count == 40_000)
    }
}

extension Element {
    static func random(_ random: inout SeededGenerator, levels: Int) -> Element {
        let namespaces = ["urn:0", "urn:1", "urn:2", "jabber:iq:roster"]
        var element = Element(String("abcdefgh".randomElement(using: &random) ?? "a"), namespaces[random.below(4)])
        for name in ["p", "q", "r"] where random.below(3) == 0 {
            let namespace = ["", "urn:a", Element.xmlNamespace][random.below(3)]
            element.attributes.append(Attribute(namespace: namespace, name: name, value: Self.text(&random)))
        }
        guard levels > 0 else { return element }
        for _ in 0..<random.below(4) {
            if random.below(3) == 0 {
                let text = Self.text(&random)
                if !text.isEmpty { element.append(text: text) }
            } else {
                element.append(Self.random(&random, levels: levels - 1))
            }
        }
        return element
    }

    static func text(_ random: inout SeededGenerator) -> String {
        let pieces = [
            "a", "<", ">", "&", "'", "\"", "\n", "\t", "\r", " ", "ä", "😀", "]]>", "&amp;", "\u{85}", "\u{2028}",
        ]
        return (0..<random.below(8)).map { _ in pieces[random.below(pieces.count)] }.joined()
    }
}
