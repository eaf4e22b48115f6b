// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Router

/// Where stanzas of external components go, and how they come back.
@Suite struct RoutingTests {
    @Test func `a stanza goes to the component of its domain, in that stream's own namespace`() async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            let words = try await router.component("words.localhost")
            chess.send(
                "<message from='a@chess.localhost/r' to='b@words.localhost/s' type='chat' id='m1' xml:lang='cy'>"
                    + "<body>hi</body></message>"
            )
            let seen = try await words.read(through: "</message>")
            #expect(seen.hasSuffix("><body>hi</body></message>"))
            #expect(!seen.contains("xmlns"), "it is in the stream's content namespace, jabber:component:accept")
            for attribute in ["from='a@chess.localhost/r'", "to='b@words.localhost/s'", "type='chat'", "id='m1'"] {
                #expect(seen.contains(attribute))
            }
            #expect(seen.contains("xml:lang='cy'"))
        }
    }

    @Test(arguments: [
        (
            "<c:message xmlns:c='jabber:component:accept' from='chess.localhost' to='words.localhost'><c:body>x</c:body></c:message>",
            "<body>x</body></message>"
        ),
        (
            "<message xmlns='jabber:component:accept' from='chess.localhost' to='words.localhost'><body>x</body></message>",
            "<body>x</body></message>"
        ),
    ])
    func `what a foreign prefix said is said plainly`(stanza: String, end: String) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            let words = try await router.component("words.localhost")
            chess.send(stanza)
            let seen = try await words.read(through: "message>")
            #expect(seen.hasPrefix("<message "))
            #expect(seen.hasSuffix(end))
            #expect(!seen.contains("jabber:component:accept"))
        }
    }

    @Test(arguments: [
        ("a@nowhere.example", "remote-server-not-found", "cancel"),
        ("nowhere.localhost", "remote-server-not-found", "cancel"),
        ("b@words.localhost", "service-unavailable", "cancel"), ("u@localhost/r", "service-unavailable", "cancel"),
        ("c2s-1.jackdaw.internal", "service-unavailable", "cancel"),
    ])
    func `what cannot be placed comes back with the addresses swapped`(
        to: String,
        condition: String,
        type: String
    ) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            for kind in ["message", "presence", "iq"] {
                chess.send(
                    "<\(kind) from='a@chess.localhost/r' to='\(to)' type='get' id='x1'><q xmlns='urn:x'/></\(kind)>"
                )
                let answer = try await chess.read(through: "</\(kind)>")
                #expect(answer.contains("to='a@chess.localhost/r'"))
                #expect(answer.contains("from='\(to)'"))
                #expect(answer.contains("id='x1'"))
                #expect(answer.contains("type='error'"))
                #expect(
                    answer.contains("<error type='\(type)'><\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'")
                )
            }
        }
    }

    @Test(arguments: [
        "<message from='chess.localhost' to='nowhere.example' type='error' id='1'><error type='cancel'/></message>",
        "<presence from='chess.localhost' to='nowhere.example' type='error' id='1'/>",
        "<iq from='chess.localhost' to='nowhere.example' type='error' id='1'/>",
        "<iq from='chess.localhost' to='words.localhost' type='result' id='1'/>",
    ])
    func `errors and results never come back`(stanza: String) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            chess.send(stanza + "<message from='chess.localhost' to='nowhere.example' id='after'/>")
            let answer = try await chess.read(through: "</message>")
            #expect(answer.hasPrefix("<message "))
            #expect(answer.contains("id='after'"))
        }
    }

    @Test(arguments: [
        "<message to='words.localhost'/>", "<message from='chess.localhost'/>", "<message/>",
        "<message from='' to='words.localhost'/>", "<message from='chess.localhost' to=''/>",
        "<message from='@chess.localhost' to='words.localhost'/>", "<presence from='chess.localhost' to='a b@words'/>",
        "<iq from='chess.localhost' to='words.localhost/' type='get' id='1'/>",
    ])
    func `a stanza without two good addresses ends the stream`(stanza: String) async throws {
        try await self.expect("<improper-addressing", after: stanza)
    }

    @Test(arguments: [
        "words.localhost", "a@words.localhost", "localhost", "sub.chess.localhost", "chess.localhost.example",
        "example.org",
    ])
    func `a foreign from ends the stream`(from: String) async throws {
        try await self.expect("<invalid-from", after: "<message from='\(from)' to='chess.localhost'/>")
    }

    @Test(arguments: [
        "<j:route xmlns:j='urn:jackdaw:link:0' from='chess.localhost' to='sm-1.jackdaw.internal'/>",
        "<j:declare xmlns:j='urn:jackdaw:link:0' epoch='1'><j:name>localhost</j:name></j:declare>",
        "<declared xmlns='urn:jackdaw:link:0'/>",
    ])
    func `our own namespace is not for external components`(element: String) async throws {
        try await self.expect("<policy-violation", after: element)
    }

    @Test(arguments: [
        "<x xmlns='urn:x'/>", "<query/>", "<handshake/>",
    ])
    func `what is no stanza ends the stream`(element: String) async throws {
        try await self.expect("<unsupported-stanza-type", after: element)
    }

    @Test(arguments: ["jabber:client", "jabber:server"])
    func `a stanza of another kind of stream ends the stream`(namespace: String) async throws {
        try await self.expect(
            "<invalid-namespace",
            after: "<message xmlns='\(namespace)' from='chess.localhost' to='chess.localhost'/>"
        )
    }

    private func expect(_ condition: String, after element: String) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            chess.send(element)
            let answer = try await chess.readToEnd()
            #expect(answer.hasPrefix("<stream:error>\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-streams'"))
            #expect(answer.hasSuffix("</stream:error></stream:stream>"))
            #expect(try await router.inspect { $0.table.entries.isEmpty })
        }
    }
}
