// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import Testing
import XMPPCore

@testable import C2S

@Suite struct NegotiationTests {
    private static let limits = """
        <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>65536</max-bytes><idle-seconds>30</idle-seconds></limits>
        """
    private static let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

    @Test func `our header has the XML declaration, an id, the domain and the version`() {
        var conversation = Conversation()
        var raw = ByteBuffer()
        conversation.machine.domain = "one.example"
        conversation.machine.writeHeader(id: "random", to: try? JID("juliet@one.example"), into: &raw)
        #expect(
            String(buffer: raw) == """
                <?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                xmlns:stream='http://etherx.jabber.org/streams' id='random' from='one.example' \
                to='juliet@one.example' version='1.0' xml:lang='en'>
                """
        )
    }

    /// RFC 6120 §4.7.2.
    @Test func `our header is for the bare address of the client's`() throws {
        let edge = try Edge()
        let client = try edge.connect()
        client.send(Conversation.header.replacing(" to=", with: " from='juliet@one.example/balcony' to="))
        #expect(client.take().contains(" from='one.example' to='juliet@one.example' version='1.0'"))
    }

    @Test func `in the clear only TLS is offered, and required`() {
        var conversation = Conversation()
        #expect(
            conversation.client(Conversation.header) == [
                "HEADER <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
                    + "\(Self.limits)</stream:features>"
            ]
        )
        #expect(
            conversation.client(Self.starttls) == [
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "* TLS one.example", "* restart",
            ]
        )
        #expect(conversation.machine.isWaiting)
    }

    @Test func `bytes in the wake of starttls are refused`() {
        var conversation = Conversation()
        conversation.client(Conversation.header)
        #expect(
            conversation.client(Self.starttls + "<auth") == [
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "</stream:stream>", "* close",
            ]
        )
    }

    @Test func `after TLS come the mechanisms, and the channel bindings that there are`() {
        var conversation = Conversation(isDirectTLS: true)
        conversation.event {
            $0.handshakeCompleted(
                version: "TLSv1.3",
                bindings: ChannelBindings(tlsExporter: [1], tlsServerEndPoint: [2])
            )
        }
        let mechanisms = SASLMechanism.allCases.map { "<mechanism>\($0.rawValue)</mechanism>" }.joined()
        #expect(
            conversation.client(Conversation.header) == [
                """
                HEADER <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(mechanisms)</mechanisms>\
                <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
                <channel-binding type='tls-server-end-point'/></sasl-channel-binding>\(Self.limits)</stream:features>
                """
            ]
        )
    }

    @Test func `without channel bindings no -PLUS is offered`() {
        var conversation = Conversation()
        conversation.secure()
        #expect(conversation.lines.first?.contains("PLUS") == false)
        #expect(conversation.lines.first?.contains("sasl-channel-binding") == false)
    }

    @Test func `without a -PLUS mechanism no channel bindings are told`() {
        var conversation = Conversation(isDirectTLS: true) { $0.mechanisms = [.scramSHA256, .plain] }
        conversation.event {
            $0.handshakeCompleted(version: "TLSv1.3", bindings: ChannelBindings(tlsExporter: [1]))
        }
        conversation.client(Conversation.header)
        #expect(conversation.lines.first?.contains("<mechanism>SCRAM-SHA-256</mechanism>") == true)
        #expect(conversation.lines.first?.contains("sasl-channel-binding") == false)
    }

    @Test func `after login come binding, stream management and what SM adds`() {
        var conversation = Conversation()
        conversation.logIn()
        #expect(
            conversation.lines == [
                """
                HEADER <stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                <sm xmlns='urn:xmpp:sm:3'/><ver xmlns='urn:xmpp:features:rosterver'/><limits xmlns='urn:xmpp:stream-limits:0'>\
                <max-bytes>524288</max-bytes><idle-seconds>300</idle-seconds></limits></stream:features>
                """
            ]
        )
    }

    /// RFC 6120 §4.9.3, for what can be wrong with a header.
    @Test(arguments: [
        ("to='other.example' version='1.0'", "host-unknown"),
        ("version='1.0'", "improper-addressing"),
        ("to='@' version='1.0'", "improper-addressing"),
        ("to='juliet@one.example' version='1.0'", "improper-addressing"),
        ("to='one.example'", "unsupported-version"),
        ("to='one.example' version='0.9'", "unsupported-version"),
        ("to='one.example' version='x'", "unsupported-version"),
    ])
    func `a bad header gets our header, its error and the end`(attributes: String, condition: String) {
        var conversation = Conversation()
        let header =
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \(attributes)>"
        #expect(conversation.client(header) == ["HEADER " + streamError(condition), "* close"])
        #expect(conversation.machine.phase == .closing)
    }

    /// RFC 6120 §4.9.3, for what can be wrong with XML.
    @Test(arguments: [
        ("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>", "invalid-namespace"),
        ("<stream:stream xmlns='jabber:client' xmlns:stream='urn:other'>", "invalid-namespace"),
        ("<!DOCTYPE x><stream:stream>", "restricted-xml"),
        ("<!-- hello -->", "restricted-xml"),
        ("<?php ?>", "restricted-xml"),
        ("<<", "not-well-formed"),
        ("hello", "not-well-formed"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "unsupported-encoding"),
    ])
    func `what cannot be read gets the error for it`(text: String, condition: String) {
        var conversation = Conversation()
        let lines = conversation.client(text)
        #expect(lines.first?.hasPrefix("HEADER <stream:error><\(condition) ") == true, "\(lines)")
        #expect(lines.last == "* close")
    }

    @Test(arguments: [
        "<message to='romeo@one.example'/>", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<presence/>", "<compress xmlns='http://jabber.org/protocol/compress'/>", "<r xmlns='urn:xmpp:sm:3'/>",
    ])
    func `before login nothing else may be sent`(text: String) {
        var clear = Conversation()
        clear.client(Conversation.header)
        #expect(clear.client(text).first?.contains("<not-authorized ") == true)
        var secured = Conversation()
        secured.secure()
        #expect(
            secured.client(text) == [streamError("not-authorized"), "</stream:stream>", "* close"]
        )
    }

    @Test(arguments: [
        ("<message to='romeo@one.example'/>", "not-authorized"), ("<presence/>", "not-authorized"),
        ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "not-authorized"),
        ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", "policy-violation"),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "policy-violation"),
        ("<other xmlns='urn:other'/>", "unsupported-stanza-type"),
    ])
    func `before binding no stanza may be sent`(text: String, condition: String) {
        var conversation = Conversation()
        conversation.logIn()
        let lines = conversation.client(text)
        #expect(lines.first?.hasPrefix("<stream:error><\(condition) ") == true, "\(lines)")
        #expect(lines.last == "* close")
    }

    @Test func `a second stream after login must be for the same domain`() {
        var conversation = Conversation()
        conversation.secure()
        conversation.client(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"
        )
        conversation.event { $0.passwordChecked(true, id: "id") }
        let header = Conversation.header.replacing("one.example", with: "two.example")
        #expect(conversation.client(header).first == "HEADER " + streamError("host-unknown"))
    }

    @Test func `the from of a stream after login must be the user`() {
        var conversation = Conversation()
        conversation.secure()
        conversation.client(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"
        )
        conversation.event { $0.passwordChecked(true, id: "id") }
        let header = Conversation.header.replacing("to=", with: "from='romeo@one.example' to=")
        #expect(conversation.client(header) == ["HEADER " + streamError("invalid-from"), "* close"])
    }

    @Test func `a login that takes too long ends the stream at once`() {
        var conversation = Conversation()
        conversation.client(Conversation.header)
        let lines = conversation.event { $0.loginTimedOut(id: "id") }
        #expect(lines.first?.contains("<connection-timeout ") == true)
        #expect(lines.last == "* close at once")
        var silent = Conversation(isDirectTLS: true)
        #expect(silent.event { $0.loginTimedOut(id: "id") } == ["* close at once"])
    }

    @Test func `the client may end its stream at any time`() {
        var conversation = Conversation()
        conversation.client(Conversation.header)
        #expect(conversation.client("</stream:stream>") == ["</stream:stream>", "* close at once"])
        #expect(conversation.machine.phase == .closed)
    }
}
