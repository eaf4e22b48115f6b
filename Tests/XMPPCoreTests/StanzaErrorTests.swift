// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

@testable import XMPPCore

@Suite struct StanzaErrorTests {
    /// RFC 6120 §8.3.3, condition by condition.
    @Test(
        "Every condition has the name and the type that RFC 6120 gives it",
        arguments: [
            ("bad-request", "modify"), ("conflict", "cancel"), ("feature-not-implemented", "cancel"),
            ("forbidden", "auth"), ("gone", "cancel"), ("internal-server-error", "cancel"),
            ("item-not-found", "cancel"), ("jid-malformed", "modify"), ("not-acceptable", "modify"),
            ("not-allowed", "cancel"), ("not-authorized", "auth"), ("policy-violation", "modify"),
            ("recipient-unavailable", "wait"), ("redirect", "modify"), ("registration-required", "auth"),
            ("remote-server-not-found", "cancel"), ("remote-server-timeout", "wait"),
            ("resource-constraint", "wait"), ("service-unavailable", "cancel"), ("subscription-required", "auth"),
            ("undefined-condition", "cancel"), ("unexpected-request", "wait"),
        ]
    )
    func conditions(name: String, type: String) throws {
        let condition = try #require(StanzaError.Condition(rawValue: name))
        let error = StanzaError(condition)
        #expect(error.type.rawValue == type)
        #expect(
            error.element().description(inheriting: Namespace.client)
                == "<error type='\(type)'><\(name) xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
        #expect(StanzaError(error.element()) == error)
    }

    @Test("There are no other conditions")
    func count() {
        #expect(StanzaError.Condition.allCases.count == 22)
    }

    @Test("Text, address and application condition are carried")
    func details() {
        let error = StanzaError(
            .gone,
            type: .modify,
            text: "a < b",
            alternative: "xmpp:a@b",
            application: Element("c", "urn:c")
        )
        let text = error.element().description(inheriting: Namespace.client)
        #expect(
            text == "<error type='modify'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone>"
                + "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a &lt; b</text><c xmlns='urn:c'/></error>"
        )
        #expect(StanzaError(error.element()) == error)
    }

    @Test(
        "An error from elsewhere is read as far as it is known",
        arguments: [
            ("<error/>", StanzaError(.undefinedCondition)),
            (
                "<error type='odd'><odd xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
                StanzaError(.undefinedCondition)
            ),
            (
                "<error type='wait'><x xmlns='urn:x'/></error>",
                StanzaError(.undefinedCondition, type: .wait, application: Element("x", "urn:x"))
            ),
            ("<error code='404'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", .itemNotFound),
        ]
    )
    func foreign(text: String, expected: StanzaError) throws {
        let element = try Element(parsing: ByteBuffer(string: text), namespace: Namespace.client)
        #expect(StanzaError(element) == expected)
        let component = try Element(parsing: ByteBuffer(string: text), namespace: Namespace.component)
        #expect(StanzaError(component) == expected)
    }

    @Test("What is no error element is none")
    func others() {
        #expect(StanzaError(Element("error", "urn:x")) == nil)
        #expect(StanzaError(Element("body", Namespace.client)) == nil)
    }
}
