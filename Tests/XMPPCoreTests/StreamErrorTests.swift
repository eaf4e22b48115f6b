// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

@testable import XMPPCore

@Suite struct StreamErrorTests {
    /// RFC 6120 §4.9.3.
    @Test(
        "Every condition has the name that RFC 6120 gives it",
        arguments: [
            "bad-format", "bad-namespace-prefix", "conflict", "connection-timeout", "host-gone", "host-unknown",
            "improper-addressing", "internal-server-error", "invalid-from", "invalid-namespace", "invalid-xml",
            "not-authorized", "not-well-formed", "policy-violation", "remote-connection-failed", "reset",
            "resource-constraint", "restricted-xml", "see-other-host", "system-shutdown", "undefined-condition",
            "unsupported-encoding", "unsupported-feature", "unsupported-stanza-type", "unsupported-version",
        ]
    )
    func conditions(name: String) throws {
        let error = StreamError(try #require(StreamError.Condition(rawValue: name)))
        var buffer = ByteBuffer()
        error.write(to: &buffer)
        #expect(
            String(buffer: buffer)
                == "<stream:error><\(name) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
        #expect(StreamError(error.element()) == error)
    }

    @Test("There are no other conditions")
    func count() {
        #expect(StreamError.Condition.allCases.count == 25)
    }

    @Test(
        "What a reader refuses has its stream error",
        arguments: [
            (StreamReader.Failure.notWellFormed, "not-well-formed"), (.restrictedXML, "restricted-xml"),
            (.unsupportedEncoding, "unsupported-encoding"), (.invalidNamespace, "invalid-namespace"),
            (.badNamespacePrefix, "bad-namespace-prefix"), (.badFormat, "bad-format"),
            (.textOutsideStanza, "bad-format"),
            (.stanzaTooLarge, "policy-violation"), (.tooDeep, "policy-violation"),
            (.tooManyAttributes, "policy-violation"),
        ]
    )
    func failures(failure: StreamReader.Failure, name: String) {
        let error = StreamError(failure)
        #expect(error.condition.rawValue == name)
        #expect(StreamError(error.element()) == error)
    }

    @Test("Text, host and application condition are carried")
    func details() {
        let error = StreamError(
            .seeOtherHost,
            text: "there",
            alternative: "[2001:db8::1]:5222",
            application: Element("a", "urn:a")
        )
        #expect(StreamError(error.element()) == error)
        #expect(StreamError(Element("error", Namespace.client)) == nil)
        var unknown = Element("error", Namespace.streams)
        unknown.append(Element("odd", Namespace.streamErrors))
        #expect(StreamError(unknown) == StreamError(.undefinedCondition))
    }
}
