// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import Testing
import XMPPCore

@testable import C2S

@Suite struct LoginTests {
    private static func auth(_ mechanism: String, _ text: String = "") -> String {
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='\(mechanism)'>\(text)</auth>"
    }

    private static func failure(_ condition: String) -> String {
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><\(condition)/></failure>"
    }

    private static let plain = Self.auth("PLAIN", "AGp1bGlldABzZWNyZXQ=")

    /// The text of a challenge or success.
    private static func content(_ line: String?) -> String {
        guard let line, let start = line.firstIndex(of: ">"), let end = line.lastIndex(of: "<"), start < end else {
            return ""
        }
        return String(decoding: Digest.base64Decode(line[line.index(after: start)..<end]) ?? [], as: UTF8.self)
    }

    @Test func `PLAIN asks for the credentials and waits for the check`() {
        var conversation = Conversation()
        conversation.secure()
        #expect(conversation.client(Self.plain) == ["* credentials juliet@one.example any"])
        #expect(conversation.machine.isWaiting)
        #expect(conversation.machine.pendingPassword == "secret")
        #expect(
            conversation.event { $0.passwordChecked(true, id: "id") } == [
                "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "* restart", "* logged in juliet@one.example",
            ]
        )
        #expect(conversation.machine.pendingPassword.isEmpty)
    }

    @Test(arguments: SCRAMHash.allCases, [false, true])
    func `SCRAM goes through, also bound to the channel`(hash: SCRAMHash, isBound: Bool) throws {
        var conversation = Conversation()
        let bindings = ChannelBindings(tlsExporter: Array(0..<32))
        conversation.secure(bindings: bindings)
        var client = SCRAMClient(
            hash: hash,
            username: "juliet",
            password: "secret",
            nonce: "clientnonce",
            binding: isBound ? .used(type: "tls-exporter", data: Array(0..<32)) : .unsupported
        )
        let mechanism = "SCRAM-\(hash.rawValue)\(isBound ? "-PLUS" : "")"
        #expect(
            conversation.client(Self.auth(mechanism, Digest.base64(Array(client.first.utf8)))) == [
                "* credentials juliet@one.example \(hash.rawValue)"
            ]
        )
        let credentials = try SCRAMCredentials.derive(password: "secret", hash: hash, iterations: 4_096)
        let challenge = conversation.event { $0.credentialsLoaded(credentials, id: "id") }
        let final = try client.final(serverFirst: Self.content(challenge.first))
        let response =
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(Digest.base64(Array(final.utf8)))</response>"
        let lines = conversation.client(response)
        try client.verify(serverFinal: Self.content(lines.first))
        #expect(lines.dropFirst() == ["* restart", "* logged in juliet@one.example"])
        #expect(conversation.machine.mechanismName == mechanism)
    }

    @Test func `a wrong password and an unknown user look the same`() throws {
        for isKnown in [true, false] {
            var conversation = Conversation()
            conversation.secure()
            var client = SCRAMClient(hash: .sha256, username: "juliet", password: "wrong", nonce: "n")
            conversation.client(Self.auth("SCRAM-SHA-256", Digest.base64(Array(client.first.utf8))))
            let credentials =
                isKnown ? try SCRAMCredentials.derive(password: "secret", hash: .sha256, iterations: 4_096) : nil
            let challenge = conversation.event { $0.credentialsLoaded(credentials, id: "id") }
            let final = try client.final(serverFirst: Self.content(challenge.first))
            let response = Digest.base64(Array(final.utf8))
            #expect(
                conversation.client(
                    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(response)</response>"
                ) == ["* failed juliet@one.example not-authorized"]
            )
            #expect(conversation.event { $0.failureDelayElapsed(id: "id") } == [Self.failure("not-authorized")])
        }
    }

    /// RFC 6120 §6.5.
    @Test(arguments: [
        (auth("EXTERNAL", "="), "invalid-mechanism"), (auth("DIGEST-MD5"), "invalid-mechanism"),
        (auth("SCRAM-SHA-256-PLUS", "biwsbj1hLHI9Yg=="), "invalid-mechanism"), (auth(""), "invalid-mechanism"),
        (auth("PLAIN", "!"), "incorrect-encoding"), (auth("PLAIN", "AAAA"), "malformed-request"),
        (auth("PLAIN", "cm9tZW9Ab25lLmV4YW1wbGUAanVsaWV0AHNlY3JldA=="), "invalid-authzid"),
        ("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "malformed-request"),
        ("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "aborted"),
    ])
    func `a bad request gets its condition and may be followed by another try`(text: String, condition: String) {
        var conversation = Conversation()
        conversation.secure()
        #expect(conversation.client(text).first?.hasPrefix("* failed ") == true)
        #expect(conversation.event { $0.failureDelayElapsed(id: "id") } == [Self.failure(condition)])
        #expect(conversation.client(Self.plain) == ["* credentials juliet@one.example any"])
    }

    @Test func `SASL before TLS is refused`() {
        var conversation = Conversation()
        conversation.client(Conversation.header)
        #expect(conversation.client(Self.plain) == ["* failed nobody encryption-required"])
        #expect(conversation.event { $0.failureDelayElapsed(id: "id") } == [Self.failure("encryption-required")])
    }

    @Test func `the third failure ends the stream`() {
        var conversation = Conversation()
        conversation.secure()
        for attempt in 1...3 {
            conversation.client(Self.plain)
            conversation.event { $0.passwordChecked(false, id: "id") }
            let lines = conversation.event { $0.failureDelayElapsed(id: "id") }
            #expect(lines.first == Self.failure("not-authorized"))
            #expect(lines.count == (attempt == 3 ? 4 : 1))
            if attempt == 3 { #expect(lines[1].hasPrefix("<stream:error><policy-violation ")) }
        }
    }

    @Test func `when credentials cannot be read the failure is temporary`() {
        for mechanism in [Self.plain, Self.auth("SCRAM-SHA-1", Digest.base64(Array("n,,n=juliet,r=x".utf8)))] {
            var conversation = Conversation()
            conversation.secure()
            conversation.client(mechanism)
            #expect(
                conversation.event { $0.credentialsUnavailable(id: "id") } == [
                    "* failed juliet@one.example temporary-auth-failure"
                ]
            )
            #expect(
                conversation.event { $0.failureDelayElapsed(id: "id") } == [Self.failure("temporary-auth-failure")]
            )
        }
    }

    @Test func `what is sent during a login waits for its end`() {
        var conversation = Conversation()
        conversation.secure()
        conversation.client(Self.plain + "<message/>")
        #expect(conversation.lines == ["* credentials juliet@one.example any"])
        #expect(conversation.machine.isWaiting)
    }

    @Test func `registration goes to SM where it is open`() throws {
        let iq = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>"
        var conversation = Conversation { $0.registrationDomains = ["one.example"] }
        conversation.secure()
        #expect(
            conversation.lines.first?.contains("<register xmlns='http://jabber.org/features/iq-register'/>") == true
        )
        let lines = conversation.client(iq)
        #expect(lines.count == 1)
        #expect(lines.first?.contains("<register xmlns='urn:jackdaw:session:0' request='id'") == true)
        #expect(lines.first?.contains("domain='one.example' address='192.0.2.1'") == true)
        let result = Stanza(kind: .iq, type: "result", id: "r1")
        #expect(conversation.event { $0.registered(request: "other", iq: result) } == [])
        #expect(conversation.event { $0.registered(request: "id", iq: result) } == ["<iq type='result' id='r1'/>"])
        #expect(!conversation.machine.isWaiting)

        var closed = Conversation()
        closed.secure()
        #expect(closed.client(iq).first == streamError("not-authorized"))
    }
}
