// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

/// Every stream error of RFC 6120 section 4.9.3 that a client or a component can cause on these ports.
@Suite(.serialized) struct StreamErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let condition: String
        let text: String

        init(_ condition: String, _ description: String, _ text: String) {
            (self.condition, testDescription, self.text) = (condition, description, text)
        }
    }

    private static let open =
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
        + "xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"

    static let beforeLogin = [
        Case("host-unknown", "a domain that is not ours", open.replacing("'localhost'", with: "'elsewhere.example'")),
        Case(
            "invalid-namespace",
            "a foreign stream namespace",
            open.replacing("etherx.jabber.org", with: "example.org")
        ),
        Case("invalid-namespace", "a foreign content namespace", open.replacing("jabber:client", with: "jabber:other")),
        Case("unsupported-encoding", "ISO-8859-1", open.replacing("'1.0'?", with: "'1.0' encoding='ISO-8859-1'?")),
        Case("restricted-xml", "a DTD", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>" + open.dropFirst(21)),
        Case("unsupported-version", "a version that is none", open.replacing(" version='1.0'>", with: " version='x'>")),
        Case("improper-addressing", "an address that is none", open.replacing("'localhost'", with: "'@'")),
        Case("bad-format", "a root of another name", open.replacing("stream:stream ", with: "stream:flow ")),
        Case("bad-namespace-prefix", "a prefix that is not declared", open + "<x:a/>"),
        Case("not-well-formed", "no XML at all", "GET / HTTP/1.1\r\n\r\n"),
        Case("not-authorized", "a message", open + "<message to='a@localhost'><body>x</body></message>"),
        Case("not-authorized", "an IQ", open + "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"),
        Case("not-authorized", "an unknown element", open + "<surprise xmlns='urn:example:x'/>"),
    ]

    @Test(arguments: beforeLogin) func clientBeforeLogin(_ test: Case) async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        try await client.send(test.text)
        #expect(try await client.streamError() == test.condition)
    }

    @Test func loginsWithoutTLSAreRefusedByName() async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        let features = try await client.openStream(to: suite.domain)
        #expect(features.child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl") == nil)
        let account = TestClient.Account(user: "a", domain: suite.domain, password: "b")
        #expect(try await client.tryPassword(account) == "encryption-required")
        await client.breakConnection()
    }

    static let afterLogin = [
        Case("invalid-from", "somebody else's address", "<message from='mallory@localhost/x' to='a@localhost'/>"),
        Case("unsupported-stanza-type", "an unknown element", "<surprise xmlns='jabber:client'/>"),
        Case("unsupported-stanza-type", "a stanza of another namespace", "<message xmlns='urn:example:x'/>"),
        Case("invalid-namespace", "a stanza of servers' streams", "<message xmlns='jabber:server'/>"),
        Case("restricted-xml", "a comment", "<!-- -->"),
        Case("not-well-formed", "tags that do not match", "<message></presence>"),
        Case("policy-violation", "a stanza over the limit", "<message><body>" + String(repeating: "x", count: 600_000)),
    ]

    @Test(arguments: afterLogin) func clientAfterLogin(_ test: Case) async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        try await client.authenticate(suite.addAccount(named: "streamerror"))
        try await client.bind("here")
        try await client.send(test.text)
        #expect(try await client.streamError() == test.condition)
    }

    @Test func moreAcknowledgedThanWasSentEndsTheStream() async throws {
        let suite = try await RunningSuite.shared()
        let (client, _) = try await TestClient.login(suite.addAccount(named: "boaster"), to: suite)
        _ = try await client.enableManagement()
        try await client.send("<a xmlns='urn:xmpp:sm:3' h='7'/>")
        #expect(try await client.streamError() == "undefined-condition")
    }

    @Test func aStanzaBeforeBindingIsNotAuthorized() async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        try await client.authenticate(suite.addAccount(named: "unbound"))
        try await client.send("<message to='a@localhost'><body>x</body></message>")
        #expect(try await client.streamError() == "not-authorized")
    }

    @Test func bytesGluedToStartTLSAreRefused() async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        try await client.openStream(to: suite.domain)
        try await client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message to='a@localhost'/>")
        // No TLS may begin over smuggled clear text (RFC 6120 §5.4.3.2).
        let answer = try await client.element()
        #expect(answer.name == "failure" && answer.namespace == "urn:ietf:params:xml:ns:xmpp-tls")
    }

    static let component = [
        Case("host-unknown", "a name that is not configured", "unknown.localhost"),
        Case("not-authorized", "a wrong secret", "component.localhost"),
    ]

    @Test(arguments: component) func componentHandshake(_ test: Case) async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(
            port: suite.componentPort,
            contentNamespace: "jabber:component:accept"
        )
        try await client.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                + "xmlns:stream='http://etherx.jabber.org/streams' to='\(test.text)'>"
                + "<handshake>\(String(repeating: "0", count: 40))</handshake>"
        )
        #expect(try await client.streamError() == test.condition)
    }

    static let componentStanzas = [
        Case(
            "invalid-from",
            "a foreign sender",
            "<message from='a@localhost' to='b@localhost'><body>x</body></message>"
        ),
        Case("invalid-from", "another name of the same secret", "<message from='other.localhost' to='b@localhost'/>"),
        Case("improper-addressing", "no sender", "<message to='b@localhost'/>"),
        Case("improper-addressing", "no recipient", "<message from='component.localhost'/>"),
        Case(
            "invalid-namespace",
            "a stanza of clients' streams",
            "<message xmlns='jabber:client' from='component.localhost' to='b@localhost'/>"
        ),
        Case("policy-violation", "our own namespace", "<route xmlns='urn:jackdaw:link:0' from='a' to='b'/>"),
    ]

    @Test(arguments: componentStanzas) func componentStanza(_ test: Case) async throws {
        let suite = try await RunningSuite.shared()
        let component = try await TestComponent.connect(to: suite, name: suite.componentName)
        try await component.client.send(test.text)
        let condition = try await component.client.streamError()
        await component.client.breakConnection()
        #expect(condition == test.condition)
    }
}

extension TestClient {
    /// Reads until the stream error and returns its condition; `none` when the connection ends without.
    func streamError() async throws -> String {
        while true {
            switch try await next() {
            case .element(let element) where element.name == "error" && element.namespace.hasSuffix("/streams"):
                return element.childElements.first?.name ?? "empty"
            case .element(let element) where element.name == "proceed": return "proceed"
            case .disconnected: return "none"
            default: continue
            }
        }
    }
}
