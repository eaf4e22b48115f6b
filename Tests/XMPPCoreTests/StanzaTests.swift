// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

@testable import XMPPCore

@Suite struct StanzaTests {
    private static let header =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        + "xmlns:r='urn:r' to='localhost'>"

    private func element(_ text: String) throws -> StreamElement {
        let reader = StreamReader(trust: .foreign, contentNamespaces: ["jabber:client"])
        reader.receive(ByteBuffer(string: Self.header + text))
        while let event = try reader.next() {
            if case .element(let element) = event { return element }
        }
        throw XMLParseError.notWellFormed
    }

    private func stanza(_ text: String) throws -> Stanza {
        try Stanza(self.element(text))
    }

    private func written(_ stanza: Stanza) -> String {
        var buffer = ByteBuffer()
        stanza.write(to: &buffer)
        return String(buffer: buffer)
    }

    @Test("The envelope becomes values, the payload stays bytes")
    func reading() throws {
        let stanza = try self.stanza(
            "<message to='B@localhost/x' from='a@localhost' type='chat' id='1' xml:lang='de' more='2'>"
                + "<body>a&#38;b<![CDATA[ <c>]]></body><x xmlns='urn:x'/></message>"
        )
        #expect(stanza.kind == .message)
        #expect(stanza.to?.description == "b@localhost/x")
        #expect(stanza.from?.description == "a@localhost")
        #expect(stanza.type == "chat")
        #expect(stanza.id == "1")
        #expect(stanza.lang == "de")
        #expect(stanza.otherAttributes == [TagAttribute(name: "more", value: "2")])
        #expect(String(buffer: stanza.payload) == "<body>a&#38;b<![CDATA[ <c>]]></body><x xmlns='urn:x'/>")
        #expect(stanza.payloadTag?.name == "body")
        #expect(stanza.payloadTag?.namespace == Namespace.client)
        #expect(try stanza.payloadElements().map(\.text) == ["a&b <c>", ""])
        #expect(try stanza.payloadElement("x", "urn:x") != nil)
        #expect(try stanza.payloadElement("x", "urn:y") == nil)
    }

    @Test(
        "What is written has the same envelope and the same bytes within",
        arguments: [
            "<presence/>", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<message to='a@localhost' from='b@localhost/c' type='chat' id='&lt;&apos;' xml:lang='de' "
                + "xmlns:x='urn:x' x:y='1'><body>&#228;</body></message>",
        ]
    )
    func writing(text: String) throws {
        let stanza = try self.stanza(text)
        #expect(self.written(stanza) == text)
        let again = try self.stanza(self.written(stanza))
        #expect(self.written(again) == text)
    }

    @Test(
        "The estimated size is exact where nothing is escaped",
        arguments: [
            "<presence/>", "<message to='a@localhost'><body>1</body></message>",
            "<message to='a@localhost/b' from='localhost' type='chat' id='1' xml:lang='de' b='c'><body>1</body></message>",
        ]
    )
    func encodedSize(text: String) throws {
        let stanza = try self.stanza(text)
        let size = stanza.encodedSize
        #expect(size >= text.utf8.count && size <= text.utf8.count + stanza.kind.rawValue.utf8.count + 3)
    }

    @Test("An attribute that used a prefix of the root still means the same")
    func rootPrefix() throws {
        let text = self.written(try self.stanza("<message r:a='1'><r:b/></message>"))
        #expect(text == "<message xmlns:ns0='urn:r' ns0:a='1'><b xmlns='urn:r'/></message>")
    }

    @Test(
        "What is no stanza is told apart",
        arguments: [
            ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", StanzaFault.unknownKind),
            ("<messages/>", .unknownKind), ("<message xmlns='urn:x'/>", .unknownKind),
            ("<message to=''/>", .malformedTo("")), ("<message to='@'/>", .malformedTo("@")),
            ("<iq to='a@localhost' from='a@'/>", .malformedFrom("a@")),
        ]
    )
    func faults(text: String, fault: StanzaFault) throws {
        let element = try self.element(text)
        #expect(throws: fault) { try Stanza(element) }
    }

    @Test("The stanza in a route is read as well, its content namespace called jabber:client")
    func route() throws {
        let reader = StreamReader(trust: .internalLink, contentNamespaces: [Namespace.component])
        reader.receive(
            ByteBuffer(
                string: "<stream:stream xmlns='jabber:component:accept' xmlns:j='urn:jackdaw:link:0' "
                    + "xmlns:stream='http://etherx.jabber.org/streams'><j:route to='sm'>"
                    + "<message to='a@localhost'><body>1</body></message></j:route>"
            )
        )
        _ = try reader.next()
        guard case .element(let element)? = try reader.next(), let inner = element.inner else {
            Issue.record("no route")
            return
        }
        let stanza = try Stanza(route: inner)
        #expect(stanza.payloadTag?.namespace == Namespace.client)
        #expect(try stanza.payloadElement("body", Namespace.client)?.text == "1")
        #expect(throws: StanzaFault.unknownKind) { try Stanza(element) }
    }

    @Test("Children are added to the bytes")
    func appending() throws {
        var stanza = Stanza(kind: .message, to: try JID("a@localhost"))
        #expect(stanza.payloadTag == nil)
        stanza.append(Element("body", Namespace.client, text: "<1>"))
        stanza.append(Element("delay", Namespace.delay, attributes: ["stamp": "x"]))
        stanza.append(bytes: ByteBuffer(string: "<x xmlns='urn:x'/>"))
        #expect(
            self.written(stanza)
                == "<message to='a@localhost'><body>&lt;1&gt;</body><delay xmlns='urn:xmpp:delay' stamp='x'/>"
                + "<x xmlns='urn:x'/></message>"
        )
        #expect(stanza.payloadTag?.name == "body")
        #expect(try stanza.payloadElements().count == 3)
        stanza.removePayload()
        #expect(self.written(stanza) == "<message to='a@localhost'/>")
        #expect(stanza.payloadTag == nil)
        stanza.append(bytes: ByteBuffer(string: "<x xmlns='urn:x'/>"))
        #expect(stanza.payloadTag?.namespace == "urn:x")
    }

    @Test("Adding to a copy leaves the stanza, and the bytes it came in, alone")
    func copies() throws {
        let original = try self.stanza("<message><body>1</body></message>")
        var copy = original
        copy.append(Element("x", "urn:x"))
        #expect(self.written(original) == "<message><body>1</body></message>")
        #expect(self.written(copy) == "<message><body>1</body><x xmlns='urn:x'/></message>")
    }

    @Test("A result has the addresses swapped and the id kept (RFC 6120 §8.2.3)")
    func results() throws {
        let request = try self.stanza(
            "<iq type='get' id='7' to='localhost' from='a@localhost/b' xml:lang='de'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        #expect(
            self.written(request.reply()) == "<iq to='a@localhost/b' from='localhost' type='result' id='7'/>"
        )
        #expect(
            self.written(request.reply(result: Element("q", "urn:q")))
                == "<iq to='a@localhost/b' from='localhost' type='result' id='7'><q xmlns='urn:q'/></iq>"
        )
    }

    @Test(
        "An error has the addresses swapped and the id kept (RFC 6120 §8.3.1)",
        arguments: [
            "<iq type='get' id='7' to='localhost' from='a@localhost/b'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='set' id='7' to='localhost' from='a@localhost/b'><x xmlns='urn:x'/></iq>",
            "<message id='7' to='localhost' from='a@localhost/b'><body>1</body></message>",
            "<presence type='subscribe' id='7' to='localhost' from='a@localhost/b'/>",
        ]
    )
    func errors(text: String) throws {
        let stanza = try self.stanza(text)
        let error = try #require(stanza.error(.itemNotFound))
        #expect(
            self.written(error)
                == "<\(stanza.kind.rawValue) to='a@localhost/b' from='localhost' type='error' id='7'>"
                + "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
                + "</\(stanza.kind.rawValue)>"
        )
        #expect(error.stanzaError == .itemNotFound)
        #expect(stanza.stanzaError == nil)
    }

    @Test(
        "An error and a result are never answered by an error",
        arguments: [
            "<iq type='error' id='7' to='localhost'/>", "<iq type='result' id='7'/>", "<message type='error'/>",
            "<presence type='error'/>",
        ]
    )
    func errorsOfErrors(text: String) throws {
        #expect(try self.stanza(text).error(.itemNotFound) == nil)
        #expect(Stanza.error(.jidMalformed, answering: try self.element(text)) == nil)
    }

    @Test("A malformed address is answered all the same, with what can be read")
    func malformedAddress() throws {
        let element = try self.element("<iq type='get' id='7' to='a@@b' from='a@localhost'/>")
        let error = try #require(Stanza.error(.jidMalformed, answering: element))
        #expect(
            self.written(error)
                == "<iq to='a@localhost' type='error' id='7'><error type='modify'>"
                + "<jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
        #expect(Stanza.error(.jidMalformed, answering: try self.element("<x/>")) == nil)
    }
}
