// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import Testing
import XML
import XMPPCore

@testable import C2S

@Suite struct SessionTests {
    private static let route = "* to SM <j:route from='c2s' to='sm' s='fresh' a='1'"
    private static let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"

    private static func stanza(number: Int) -> String { "\(route) n='\(number)'>" }

    private static func failed(_ condition: String, h: Int? = nil) -> String {
        "<failed xmlns='urn:xmpp:sm:3'\(h.map { " h='\($0)'" } ?? "")>"
            + "<\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    }

    // MARK: Binding

    @Test func `a resource is bound by SM`() throws {
        var conversation = Conversation()
        conversation.logIn()
        #expect(
            conversation.client(Self.bind + "<resource>balcony</resource></bind></iq>") == [
                """
                \(Self.route)><open xmlns='urn:jackdaw:session:0' user='juliet@one.example' resource='balcony' \
                address='192.0.2.1' tls='TLSv1.3' mechanism='PLAIN'/></j:route>
                """
            ]
        )
        #expect(conversation.machine.isWaiting)
        let jid = try JID("juliet@one.example/balcony")
        #expect(
            conversation.event { $0.opened(jid) } == [
                """
                <iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                <jid>juliet@one.example/balcony</jid></bind></iq>
                """,
                "* session juliet@one.example/balcony",
            ]
        )
    }

    @Test func `without a resource SM chooses`() {
        var conversation = Conversation()
        conversation.logIn()
        let lines = conversation.client(Self.bind + "</bind></iq>")
        #expect(lines.first?.contains("resource=") == false)
    }

    @Test func `a resource that cannot be one is a bad request, and the client may try again`() {
        var conversation = Conversation()
        conversation.logIn()
        let long = String(repeating: "x", count: 1_024)
        let lines = conversation.client(Self.bind + "<resource>\(long)</resource></bind></iq>")
        #expect(lines.first?.hasPrefix("<iq type='error' id='b'><error type='modify'><bad-request ") == true)
        #expect(conversation.client(Self.bind + "</bind></iq>").first?.contains("<open ") == true)
    }

    @Test func `SM may refuse, and a client in a loop is stopped`() {
        var conversation = Conversation()
        conversation.logIn()
        for attempt in 1...5 {
            conversation.client(Self.bind + "</bind></iq>")
            let lines = conversation.event { $0.refused(StanzaError(.conflict), id: "id") }
            #expect(lines.first?.hasPrefix("<iq type='error' id='b'><error type='cancel'><conflict ") == true)
            #expect((lines.count > 1) == (attempt == 5))
        }
    }

    @Test func `a bind waits for an owner and is asked again when one comes`() {
        var conversation = Conversation()
        conversation.logIn()
        let first = conversation.client(Self.bind + "</bind></iq>")
        #expect(conversation.event { $0.ownerAvailable() } == first)
    }

    // MARK: Stanzas

    @Test func `a stanza gets the full address, the language and its number, and keeps its payload`() throws {
        var conversation = Conversation()
        try conversation.bind()
        conversation.machine.language = "de"
        let body = "<body>a &lt; b</body><x:y xmlns:x='urn:x' a=\"1\"/>"
        #expect(
            conversation.client("<message to='romeo@one.example' id='1'>\(body)</message>") == [
                Self.stanza(number: 1)
                    + "<message from='juliet@one.example/r' xml:lang='de' to='romeo@one.example' id='1'>"
                    + "\(body)</message></j:route>"
            ]
        )
        #expect(conversation.client("<presence xml:lang='fr'/>").first?.contains("n='2'") == true)
        #expect(conversation.lines.first?.contains("xml:lang='fr'") == true)
    }

    @Test(arguments: [
        ("juliet@one.example/r", true), ("juliet@one.example", true), ("JULIET@one.example/r", true),
        ("juliet@one.example/other", false), ("romeo@one.example", false), ("@", false), ("one.example", false),
    ])
    func `the from of a stanza must be the client's own`(from: String, isGood: Bool) throws {
        var conversation = Conversation()
        try conversation.bind()
        let lines = conversation.client("<message from='\(from)'/>")
        if isGood {
            #expect(lines.first?.contains(" from='juliet@one.example/r'") == true)
        } else {
            #expect(lines.first?.hasSuffix("<detached xmlns='urn:jackdaw:session:0'/></j:route>") == true)
            #expect(lines.dropFirst() == [streamError("invalid-from"), "</stream:stream>", "* close"])
        }
    }

    @Test func `a malformed to is SM's to answer`() throws {
        var conversation = Conversation()
        try conversation.bind()
        #expect(
            conversation.client("<message to='@one.example' id='1'><body>x</body></message>") == [
                "\(Self.route) n='1' fault='jid-malformed'>"
                    + "<message from='juliet@one.example/r' id='1'><body>x</body></message></j:route>"
            ]
        )
    }

    @Test(arguments: ["<other xmlns='urn:other'/>", "<stanza/>", "<x xmlns='urn:xmpp:sm:3'/>"])
    func `what is no stanza ends the stream`(text: String) throws {
        var conversation = Conversation()
        try conversation.bind()
        #expect(conversation.client(text)[1] == streamError("unsupported-stanza-type"))
    }

    /// RFC 6120 §4.8.2, §4.9.3.10.
    @Test(arguments: ["jabber:server", "jabber:component:accept"])
    func `a stanza of another kind of stream ends the stream`(namespace: String) throws {
        var conversation = Conversation()
        try conversation.bind()
        #expect(
            conversation.client("<message xmlns='\(namespace)'><body>x</body></message>") == [
                "\(Self.route)><detached xmlns='urn:jackdaw:session:0'/></j:route>",
                streamError("invalid-namespace"), "</stream:stream>", "* close",
            ]
        )
    }

    @Test func `the old session request is a stanza like any other`() throws {
        var conversation = Conversation()
        try conversation.bind()
        let lines = conversation.client(
            "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
        )
        #expect(lines.first?.hasPrefix(Self.stanza(number: 1)) == true)
    }

    // MARK: Ends

    @Test func `a clean end closes the session, a broken connection detaches it`() throws {
        var clean = Conversation()
        try clean.bind()
        #expect(
            clean.client("</stream:stream>") == [
                "\(Self.route)><close xmlns='urn:jackdaw:session:0'/></j:route>", "</stream:stream>",
                "* close at once",
            ]
        )
        #expect(clean.event { $0.connectionLost() } == [])
        var broken = Conversation()
        try broken.bind()
        #expect(
            broken.event { $0.connectionLost() } == [
                "\(Self.route)><detached xmlns='urn:jackdaw:session:0'/></j:route>"
            ]
        )
        #expect(broken.event { $0.connectionLost() } == [])
    }

    @Test func `SM may end a session with an error, or plainly`() throws {
        var conflict = Conversation()
        try conflict.bind()
        let end = SessionMessage.End(condition: .conflict, text: "replaced")
        let lines = conflict.event { $0.ended(end, id: "id") }
        #expect(lines.first?.hasPrefix("<stream:error><conflict ") == true)
        #expect(lines.dropFirst() == ["</stream:stream>", "* close"])
        var plain = Conversation()
        try plain.bind()
        #expect(plain.event { $0.ended(SessionMessage.End(), id: "id") } == ["</stream:stream>", "* close"])
    }

    // MARK: Stream management

    @Test func `SM switches stream management on`() throws {
        var conversation = Conversation()
        try conversation.bind()
        conversation.client("<presence/>")
        #expect(
            conversation.client("<enable xmlns='urn:xmpp:sm:3' resume='true' max='1000'/>") == [
                "\(Self.route)><enable xmlns='urn:jackdaw:session:0' resume='true' max='600' n='1'/></j:route>"
            ]
        )
        // Asked too early: the answer follows.
        #expect(conversation.client("<r xmlns='urn:xmpp:sm:3'/>") == [])
        #expect(
            conversation.event { $0.enabled(token: "token", max: 300) } == [
                "<enabled xmlns='urn:xmpp:sm:3' id='token' resume='true' max='300'/>",
                "<a xmlns='urn:xmpp:sm:3' h='0'/>",
            ]
        )
        #expect(
            conversation.client("<enable xmlns='urn:xmpp:sm:3'/>") == [Self.failed("unexpected-request")]
        )
    }

    @Test func `h follows what is settled, and a request is answered at once`() throws {
        var conversation = Conversation()
        try conversation.bind()
        conversation.client("<presence/>")
        conversation.client("<enable xmlns='urn:xmpp:sm:3'/>")
        #expect(conversation.event { $0.enabled(token: nil, max: nil) } == ["<enabled xmlns='urn:xmpp:sm:3'/>"])
        conversation.client("<message/><message/>")
        #expect(conversation.client("<r xmlns='urn:xmpp:sm:3'/>") == ["<a xmlns='urn:xmpp:sm:3' h='0'/>"])
        #expect(conversation.event { $0.settled(2) } == [])
        // The client asked when two were sent: it is told when both are settled.
        #expect(conversation.event { $0.settled(3) } == ["<a xmlns='urn:xmpp:sm:3' h='2'/>"])
        #expect(conversation.client("<r xmlns='urn:xmpp:sm:3'/>") == ["<a xmlns='urn:xmpp:sm:3' h='2'/>"])
    }

    @Test func `the client's h is checked and passed on`() throws {
        var conversation = Conversation()
        try conversation.enable()
        var out = ByteBuffer()
        for number in 1...3 {
            #expect(
                conversation.machine.deliver(Stanza(kind: .message), number: UInt64(number), now: 0, into: &out) == true
            )
        }
        #expect(conversation.machine.requestIsDue() == true)
        #expect(conversation.machine.requestIsDue() == false)
        #expect(
            conversation.client("<a xmlns='urn:xmpp:sm:3' h='2'/>") == [
                "\(Self.route)><acknowledged xmlns='urn:jackdaw:session:0' h='2'/></j:route>"
            ]
        )
        #expect(conversation.client("<a xmlns='urn:xmpp:sm:3' h='2'/>") == [])
        let lines = conversation.client("<a xmlns='urn:xmpp:sm:3' h='4'/>")
        #expect(lines[1].hasPrefix("<stream:error><undefined-condition "))
        #expect(lines[1].contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4' send-count='3'/>"))
    }

    @Test(arguments: ["<a xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='-1'/>"])
    func `an acknowledgement without a number is bad format`(text: String) throws {
        var conversation = Conversation()
        try conversation.enable()
        #expect(conversation.client(text)[1] == streamError("bad-format"))
    }

    @Test(arguments: ["<a xmlns='urn:xmpp:sm:3' h='0'/>", "<r xmlns='urn:xmpp:sm:3'/>"])
    func `without enable there is nothing to acknowledge`(text: String) throws {
        var conversation = Conversation()
        try conversation.bind()
        #expect(conversation.client(text) == [Self.failed("unexpected-request")])
    }

    @Test func `a client whose stanzas are not settled is overdrawn, and what it sends on and on is refused`() throws {
        var conversation = Conversation { $0.unsettledStanzas = 2 }
        try conversation.enable()
        conversation.client("<message/><message/>")
        #expect(conversation.machine.isOverdrawn)
        #expect(!conversation.machine.isWaiting)
        let lines = conversation.client("<message/><message/><message><body>x</body></message>")
        #expect(lines.count == 3)
        #expect(lines.dropLast().allSatisfy { !$0.contains("fault") })
        #expect(lines.last?.contains("fault='resource-constraint'") == true)
        #expect(lines.last?.contains("<body>") == false)
        conversation.event { $0.settled(4) }
        #expect(!conversation.machine.isOverdrawn)
        #expect(conversation.client("<message/>").first?.contains("fault") == false)
    }

    // MARK: Resumption

    @Test func `a session is resumed under its own name and counters`() throws {
        var conversation = Conversation()
        conversation.logIn()
        #expect(
            conversation.client("<resume xmlns='urn:xmpp:sm:3' previd='token' h='7'/>") == [
                """
                \(Self.route)><resume xmlns='urn:jackdaw:session:0' user='juliet@one.example' token='token' h='7' \
                address='192.0.2.1' tls='TLSv1.3'/></j:route>
                """
            ]
        )
        let jid = try JID("juliet@one.example/r")
        let resumed = SessionMessage.Resumed(
            session: "old",
            attach: 2,
            jid: jid,
            h: 5,
            next: 9,
            sent: 7,
            lately: ["i1", "i2"]
        )
        #expect(
            conversation.event { $0.resumed(resumed) } == [
                "* renamed from fresh to old", "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='token'/>",
                "* session juliet@one.example/r",
            ]
        )
        // The next owner must not send again what the client acknowledged on another connection.
        #expect(conversation.machine.passport?.management?.lately == ["i1", "i2"])
        #expect(
            conversation.client("<presence/>").first?.hasPrefix(
                "* to SM <j:route from='c2s' to='sm' s='old' a='2' n='9'>"
            ) == true
        )
        conversation.client("<r xmlns='urn:xmpp:sm:3'/>")
        #expect(conversation.event { $0.settled(9) } == ["<a xmlns='urn:xmpp:sm:3' h='6'/>"])
        var out = ByteBuffer()
        #expect(conversation.machine.deliver(Stanza(kind: .message), number: 8, now: 0, into: &out) == true)
        #expect(conversation.client("<a xmlns='urn:xmpp:sm:3' h='8'/>").count == 1)
    }

    @Test func `a resume that fails may be followed by a bind`() {
        var conversation = Conversation()
        conversation.logIn()
        conversation.client("<resume xmlns='urn:xmpp:sm:3' previd='token' h='7'/>")
        #expect(conversation.event { $0.resumeFailed(h: 3) } == [Self.failed("item-not-found", h: 3)])
        #expect(conversation.client(Self.bind + "</bind></iq>").first?.contains("<open ") == true)
    }

    @Test(arguments: [
        "<resume xmlns='urn:xmpp:sm:3' h='7'/>", "<resume xmlns='urn:xmpp:sm:3' previd='x' h='x'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='4294967296'/>",
    ])
    func `a resume must have a token and an h`(text: String) {
        var conversation = Conversation()
        conversation.logIn()
        #expect(conversation.client(text) == [Self.failed("bad-request")])
    }

    @Test func `a resume in a session is unexpected, and so is enable before binding`() throws {
        var session = Conversation()
        try session.enable()
        #expect(
            session.client("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>") == [Self.failed("unexpected-request")]
        )
        var unbound = Conversation()
        unbound.logIn()
        #expect(unbound.client("<enable xmlns='urn:xmpp:sm:3'/>") == [Self.failed("unexpected-request")])
    }

    @Test func `answers to what the server sent are free, others are not`() throws {
        var conversation = Conversation()
        try conversation.enable()
        let result = StreamElementFixture.element("iq", ["type": "result"])
        #expect(conversation.machine.takeUncharged(result) == false)
        var out = ByteBuffer()
        _ = conversation.machine.deliver(Stanza(kind: .iq, type: "get"), number: 1, now: 0, into: &out)
        #expect(conversation.machine.takeUncharged(StreamElementFixture.element("iq", ["type": "get"])) == false)
        #expect(conversation.machine.takeUncharged(result) == true)
        #expect(conversation.machine.takeUncharged(result) == false)
    }

    /// XEP-0198 §4 lets a client acknowledge whenever it likes, as some do after every few stanzas.
    @Test func `an acknowledgement of what was sent is free, asked for or not`() throws {
        var conversation = Conversation()
        try conversation.enable()
        var out = ByteBuffer()
        for number in 1...9 {
            _ = conversation.machine.deliver(Stanza(kind: .presence), number: UInt64(number), now: 0, into: &out)
        }
        for h in [3, 6, 9] {
            let answer = StreamElement(
                name: "a",
                namespace: Namespace.streamManagement,
                attributes: [TagAttribute(name: "h", value: "\(h)")]
            )
            #expect(conversation.machine.takeUncharged(answer) == true)
            conversation.client("<a xmlns='urn:xmpp:sm:3' h='\(h)'/>")
            #expect(conversation.machine.takeUncharged(answer) == false, "it says nothing new")
        }
        let tooHigh = StreamElement(
            name: "a",
            namespace: Namespace.streamManagement,
            attributes: [TagAttribute(name: "h", value: "10")]
        )
        #expect(conversation.machine.takeUncharged(tooHigh) == false)
    }
}
