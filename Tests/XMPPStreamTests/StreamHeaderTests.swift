// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML
import XMPPCore
import XMPPStream

@Suite struct StreamHeaderTests {
    private let validation = StreamHeaderValidation(
        contentNamespace: "jabber:client",
        domains: ["example.com", "b\u{FC}cher.example"]
    )

    private func header(
        namespace: String = StreamHeaderWriter.streamNamespace,
        name: String = "stream",
        content: String? = "jabber:client",
        _ attributes: KeyValuePairs<String, String> = ["to": "example.com", "version": "1.0"]
    ) -> StreamHeader {
        StreamHeader(
            namespace: namespace,
            name: name,
            contentNamespace: content,
            attributes: attributes.map { TagAttribute(name: $0.key, value: $0.value) }
        )
    }

    @Test func `a good header tells whom it is for and whom it is from`() throws {
        let opening = try validation.validate(
            header(["from": "Juliet@Example.com", "to": "Example.COM.", "version": "1.0", "xml:lang": "de"])
        )
        #expect(opening.to == "example.com")
        #expect(opening.from == (try JID("juliet@example.com")))
        #expect(opening.language == "de")
        #expect(opening.version == .current)
    }

    @Test func `an A-label names the domain of its U-label`() throws {
        let opening = try validation.validate(header(["to": "xn--bcher-kva.example", "version": "1.0"]))
        #expect(opening.to == "b\u{FC}cher.example")
    }

    @Test(arguments: [nil, "http://etherx.jabber.org/streams"] as [String?])
    func `a stream may leave its content namespace to the stanzas`(content: String?) throws {
        #expect(try validation.validate(header(content: content)).to == "example.com")
    }

    @Test(arguments: ["jabber:server", "jabber:component:accept", "", "JABBER:CLIENT"])
    func `another content namespace is refused`(content: String) {
        #expect(throws: StreamHeaderFault.invalidNamespace) { try validation.validate(header(content: content)) }
    }

    @Test func `another stream is refused`() {
        #expect(throws: StreamHeaderFault.invalidNamespace) {
            try validation.validate(header(namespace: "http://wrong.namespace.example.org/"))
        }
        #expect(throws: StreamHeaderFault.badFormat) { try validation.validate(header(name: "streams")) }
    }

    @Test(
        arguments: [
            ("1.0", true), ("1.1", true), ("1.00", true), ("01.0", true), ("2.0", true),
            ("99999999999999999999.0", true),
            (nil, false), ("", false), ("1", false), ("0.9", false), ("1.0.0", false), ("a.b", false), ("-1.0", false),
            ("+1.0", false), ("1.", false), (".0", false), (" 1.0", false), ("\u{661}.\u{660}", false),
        ] as [(String?, Bool)]
    )
    func `a version is taken from 1-0 on, and answered with 1-0 at most`(text: String?, isTaken: Bool) throws {
        let attributes = [("to", "example.com")] + (text.map { [("version", $0)] } ?? [])
        let header = StreamHeader(
            namespace: StreamHeaderWriter.streamNamespace,
            name: "stream",
            contentNamespace: "jabber:client",
            attributes: attributes.map { TagAttribute(name: $0.0, value: $0.1) }
        )
        if isTaken {
            #expect(try validation.validate(header).version == .current)
        } else {
            #expect(throws: StreamHeaderFault.unsupportedVersion) { try validation.validate(header) }
        }
    }

    @Test(
        arguments: [
            (nil, StreamHeaderFault.improperAddressing), ("", .improperAddressing), ("a b", .improperAddressing),
            ("juliet@example.com", .improperAddressing), ("example.com/x", .improperAddressing),
            ("example.org", .hostUnknown), ("im.example.com", .hostUnknown),
        ] as [(String?, StreamHeaderFault)]
    )
    func `a wrong to is refused`(to: String?, fault: StreamHeaderFault) {
        let attributes = (to.map { [TagAttribute(name: "to", value: $0)] } ?? [])
        let header = StreamHeader(
            namespace: StreamHeaderWriter.streamNamespace,
            name: "stream",
            contentNamespace: "jabber:client",
            attributes: attributes + [TagAttribute(name: "version", value: "1.0")]
        )
        #expect(throws: fault) { try validation.validate(header) }
    }

    @Test func `a from that is no address is refused`() {
        #expect(throws: StreamHeaderFault.improperAddressing) {
            try validation.validate(header(["from": "@", "to": "example.com", "version": "1.0"]))
        }
    }

    @Test(arguments: StreamHeaderFault.allCases)
    func `a fault is the stream error of its name`(_ fault: StreamHeaderFault) {
        #expect(fault.streamError.condition.rawValue == fault.rawValue)
    }

    @Test func `versions are compared as numbers`() throws {
        #expect(try #require(StreamVersion("1.10")) > (try #require(StreamVersion("1.9"))))
        #expect(try #require(StreamVersion("2.0")) > (try #require(StreamVersion("1.99"))))
    }

    @Test func `the header begins with the XML declaration`() {
        var buffer = ByteBuffer()
        StreamHeaderWriter(
            contentNamespace: "jabber:client",
            id: "x1",
            from: "example.com",
            to: "juliet@example.com",
            language: "en"
        ).write(to: &buffer)
        #expect(
            String(buffer: buffer)
                == "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                + "xmlns:stream='http://etherx.jabber.org/streams' id='x1' from='example.com' "
                + "to='juliet@example.com' version='1.0' xml:lang='en'>"
        )
    }

    @Test func `a component's header has no version and may declare prefixes`() {
        var buffer = ByteBuffer()
        StreamHeaderWriter(
            contentNamespace: "jabber:component:accept",
            to: "c2s-1.jackdaw.internal",
            version: nil,
            prefixes: [TagAttribute(name: "j", value: "urn:jackdaw:link:0")]
        ).write(to: &buffer)
        StreamHeaderWriter.writeClose(to: &buffer)
        #expect(
            String(buffer: buffer)
                == "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                + "xmlns:stream='http://etherx.jabber.org/streams' to='c2s-1.jackdaw.internal' "
                + "xmlns:j='urn:jackdaw:link:0'></stream:stream>"
        )
    }
}
