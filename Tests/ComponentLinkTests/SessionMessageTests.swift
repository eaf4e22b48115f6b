// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing
import XML
import XMPPCore

/// `docs/protocols.md`, section 2, message by message.
@Suite struct SessionMessageTests {
    /// A message as it stands between the start and the end tag of its wrapper, and the attributes it adds there.
    struct Example: CustomTestStringConvertible {
        let attributes: String
        let xml: String
        let content: SessionMessage.Content
        var session = "s1"

        init(_ xml: String, _ content: SessionMessage.Content, attributes: String = "", session: String = "s1") {
            self.xml = xml
            self.content = content
            self.attributes = attributes
            self.session = session
        }

        var testDescription: String { self.xml }

        var wrapper: String {
            let session = self.session.isEmpty ? "" : " s='\(self.session)' a='3'"
            return "<j:route from='one' to='two'\(session)\(self.attributes)>\(self.xml)</j:route>"
        }
    }

    private static let x = "xmlns='urn:jackdaw:session:0'"

    private static func jid(_ text: String) -> JID {
        guard let jid = try? JID(text) else { preconditionFailure(text) }
        return jid
    }

    private static var stanza: Stanza {
        Stanza(
            kind: .message,
            to: Self.jid("b@localhost"),
            from: Self.jid("a@localhost/r"),
            payload: [Element("body", Namespace.client, text: "a < b")]
        )
    }

    private static var query: Stanza {
        Stanza(kind: .iq, type: "get", id: "1", payload: [Element("query", Namespace.register)])
    }

    private static let examples: [Example] = [
        Example(
            "<message to='b@localhost' from='a@localhost/r'><body>a &lt; b</body></message>",
            .stanza(stanza, number: 7),
            attributes: " n='7'"
        ),
        Example(
            "<message to='b@localhost' from='a@localhost/r'><body>a &lt; b</body></message>",
            .stanza(stanza, number: 18_446_744_073_709_551_615, fault: .jidMalformed),
            attributes: " n='18446744073709551615' fault='jid-malformed'"
        ),
        Example("<presence/>", .stanza(Stanza(kind: .presence), number: nil)),
        Example(
            "<open \(x) user='a@localhost' resource='it&apos;s' address='::1' tls='TLSv1.3' mechanism='PLAIN'/>",
            .open(
                SessionMessage.Open(
                    user: jid("a@localhost").bare,
                    resource: "it's",
                    address: "::1",
                    tls: "TLSv1.3",
                    mechanism: "PLAIN"
                )
            )
        ),
        Example(
            "<open \(x) user='a@localhost' address='' tls='' mechanism=''/>",
            .open(
                SessionMessage.Open(
                    user: jid("a@localhost").bare,
                    resource: nil,
                    address: "",
                    tls: "",
                    mechanism: ""
                )
            )
        ),
        Example("<opened \(x) jid='a@localhost/r'/>", .opened(jid("a@localhost/r"))),
        Example(
            "<refused \(x)><error xmlns='jabber:client' type='wait'>"
                + "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></refused>",
            .refused(StanzaError(.resourceConstraint, type: .wait))
        ),
        Example("<enable \(x) resume='true' max='600' n='3'/>", .enable(resume: true, max: 600, number: 3)),
        Example("<enable \(x) n='0'/>", .enable(resume: false, max: nil, number: 0)),
        Example("<enabled \(x) token='t' max='600'/>", .enabled(token: "t", max: 600)),
        Example("<enabled \(x)/>", .enabled(token: nil, max: nil)),
        Example(
            "<resume \(x) user='a@localhost' token='t' h='4294967295' address='1' tls='2'/>",
            .resume(
                SessionMessage.Resume(
                    user: jid("a@localhost").bare,
                    token: "t",
                    h: .max,
                    address: "1",
                    tls: "2"
                )
            )
        ),
        Example(
            "<resumed \(x) session='s0' attach='4' jid='a@localhost/r' h='1' next='2' sent='3'/>",
            .resumed(
                SessionMessage.Resumed(session: "s0", attach: 4, jid: jid("a@localhost/r"), h: 1, next: 2, sent: 3)
            )
        ),
        Example(
            "<resumed \(x) session='s0' attach='4' jid='a@localhost/r' h='1' next='2' sent='3' lately='i1 i2'/>",
            .resumed(
                SessionMessage.Resumed(
                    session: "s0",
                    attach: 4,
                    jid: jid("a@localhost/r"),
                    h: 1,
                    next: 2,
                    sent: 3,
                    lately: ["i1", "i2"]
                )
            )
        ),
        Example("<resume-failed \(x) h='5'/>", .resumeFailed(h: 5)),
        Example("<resume-failed \(x)/>", .resumeFailed(h: nil)),
        Example("<acknowledged \(x) h='9'/>", .acknowledged(h: 9)),
        Example("<settled \(x) n='9'/>", .settled(number: 9)),
        Example("<detached \(x)/>", .detached), Example("<close \(x)/>", .close),
        Example("<end \(x)></end>", .end(SessionMessage.End())),
        Example(
            "<end \(x) condition='conflict'>you &amp; me</end>",
            .end(SessionMessage.End(condition: .conflict, text: "you & me"))
        ),
        Example(
            "<features \(x) domain='localhost'><ver xmlns='urn:xmpp:features:rosterver'/></features>",
            .features(domain: "localhost", ByteBuffer(string: "<ver xmlns='urn:xmpp:features:rosterver'/>")),
            session: ""
        ),
        Example(
            "<register \(x) request='7' domain='localhost' address='::1'><iq xmlns='jabber:client' type='get' id='1'>"
                + "<query xmlns='jabber:iq:register'/></iq></register>",
            .register(SessionMessage.Register(request: "7", domain: "localhost", address: "::1", iq: query)),
            session: ""
        ),
        Example(
            "<registered \(x) request='7'><iq xmlns='jabber:client' type='get' id='1'>"
                + "<query xmlns='jabber:iq:register'/></iq></registered>",
            .registered(request: "7", iq: query),
            session: ""
        ),
    ]

    @Test(arguments: examples)
    func `a message is written as documented`(example: Example) {
        #expect(self.written(SessionMessage(session: example.session, attach: 3, example.content)) == example.wrapper)
    }

    @Test(arguments: examples)
    func `what was written is read as the same message`(example: Example) throws {
        let message = try #require(try SessionMessage(try LinkReader.route(example.wrapper)))
        #expect(message.session == example.session)
        #expect(self.written(message) == example.wrapper)
    }

    @Test(arguments: examples)
    func `what was written tells its length`(example: Example) throws {
        let message = SessionMessage(session: example.session, attach: 3, example.content)
        var buffer = ByteBuffer()
        message.write(with: RouteHead(from: "one", to: "two"), into: &buffer)
        message.write(with: RouteHead(from: "one", to: "two"), into: &buffer)
        let routes = try LinkReader.routes(in: String(buffer: buffer))
        #expect(routes.count == 2)
        for route in routes {
            #expect(String(buffer: route.content) == example.xml)
            #expect(self.written(try #require(try SessionMessage(route))) == example.wrapper)
        }
    }

    @Test(arguments: [
        ("", LinkFault.noPayload), ("<x xmlns='urn:x'/>", .unknownElement("urn:x")),
        ("<what \(x)/>", .unknownElement("what")), ("<opened \(x)/>", .missingAttribute("jid")),
        ("<opened \(x) jid='@'/>", .badAttribute("jid")), ("<acknowledged \(x)/>", .missingAttribute("h")),
        ("<acknowledged \(x) h='-1'/>", .badAttribute("h")),
        ("<acknowledged \(x) h='4294967296'/>", .badAttribute("h")),
        ("<settled \(x) n='18446744073709551616'/>", .badAttribute("n")), ("<refused \(x)/>", .badContent("refused")),
        ("<registered \(x) request='1'/>", .badContent("registered")),
        ("<registered \(x) request='1'><undeclared:iq/></registered>", .badContent("registered")),
    ])
    func `what cannot be read is named`(xml: String, fault: LinkFault) throws {
        let element = try LinkReader.route("<j:route from='a' to='b' s='1' a='1'>\(xml)</j:route>")
        #expect(throws: fault) { try SessionMessage(element) }
    }

    @Test(arguments: ["<close \(x)/>", "<message to='a@localhost'/>"])
    func `a message about a session names it`(xml: String) throws {
        let element = try LinkReader.route("<j:route from='a' to='b'>\(xml)</j:route>")
        #expect(throws: LinkFault.missingAttribute("s")) { try SessionMessage(element) }
    }

    @Test func `a stanza keeps the bytes of its payload`() throws {
        let payload = "<body xml:lang=\"cy\">a<![CDATA[<b>]]>&#x41;</body><x:y xmlns:x='urn:x'/>"
        let element = try LinkReader.route(
            "<j:route from='a' to='b' s='1' a='1' n='2'><message to='b@localhost'>\(payload)</message></j:route>"
        )
        guard case .stanza(let stanza, number: 2, fault: nil) = try SessionMessage(element)?.content else {
            Issue.record("no stanza")
            return
        }
        #expect(stanza.payload == ByteBuffer(string: payload))
    }

    private func written(_ message: SessionMessage) -> String {
        var buffer = ByteBuffer()
        message.write(with: RouteHead(from: "one", to: "two"), into: &buffer)
        return String(buffer: buffer).replacing(#/ b='[0-9]+'/#, with: "", maxReplacements: 1)
    }
}
