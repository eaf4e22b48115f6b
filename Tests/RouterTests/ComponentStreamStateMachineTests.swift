// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing
import XML
import XMPPCore

@testable import Router

/// The machine alone, as transcripts.
@Suite struct ComponentStreamStateMachineTests {
    private let directory = TestRouter.directory()

    private func header(to: String?, namespace: String = "jabber:component:accept") -> StreamHeader {
        StreamHeader(
            namespace: "http://etherx.jabber.org/streams",
            name: "stream",
            contentNamespace: namespace,
            attributes: to.map { [TagAttribute(name: "to", value: $0)] } ?? []
        )
    }

    private func element(
        _ name: String,
        _ namespace: String = "jabber:component:accept",
        _ attributes: KeyValuePairs<String, String> = [:],
        content: String = ""
    ) -> StreamElement {
        StreamElement(
            name: name,
            namespace: namespace,
            attributes: attributes.map { TagAttribute(name: $0.key, value: $0.value) },
            content: ByteBuffer(string: content)
        )
    }

    private func handshake(_ secret: String) -> StreamElement {
        self.element("handshake", content: ComponentHandshake.proof(streamID: "id1", secret: secret))
    }

    /// What an action amounts to, in a word.
    private func word(_ action: ComponentStreamStateMachine.Action) -> String {
        switch action {
        case .nothing: "nothing"
        case .send(let bytes): "send \(String(buffer: bytes).prefix(20))"
        case .bind(let name, _): "bind \(name)"
        case .declare(let declaration): "declare \(declaration.names)"
        case .forwardForeign(_, let to): "foreign \(to)"
        case .forwardInternal(_, let to, let from): "internal \(from) \(to)"
        case .forwardRoute(let route): "route \(route.from) \(route.to)"
        case .close(_, let reason): "close \(reason?.condition.rawValue ?? "")"
        }
    }

    @Test func `the life of an external component`() {
        var machine = ComponentStreamStateMachine()
        var said: [String] = []
        said.append(word(machine.streamOpened(header(to: "chess.localhost"), id: "id1", directory: directory)))
        said.append(word(machine.elementReceived(handshake("secret of chess.localhost"))))
        said.append(word(machine.bound()))
        let stanza = element(
            "message",
            "jabber:component:accept",
            ["from": "a@chess.localhost", "to": "B@Localhost/x"]
        )
        said.append(word(machine.elementReceived(stanza)))
        said.append(word(machine.streamClosed()))
        said.append(word(machine.streamClosed()))
        #expect(
            said == [
                "send <?xml version='1.0'?", "bind chess.localhost", "send <handshake/>", "foreign b@localhost/x",
                "close ", "nothing",
            ]
        )
    }

    @Test func `the life of an instance`() {
        var machine = ComponentStreamStateMachine()
        var said: [String] = []
        said.append(word(machine.streamOpened(header(to: "sm-1.jackdaw.internal"), id: "id1", directory: directory)))
        said.append(word(machine.elementReceived(handshake("sm"))))
        said.append(word(machine.bound()))
        let link = "urn:jackdaw:link:0"
        let names = "<j:name>localhost</j:name>"
        said.append(word(machine.elementReceived(element("declare", link, ["epoch": "e"], content: names))))
        #expect(machine.isDeclared == false)
        said.append(word(machine.declared()))
        #expect(machine.isDeclared == true)
        var route = element("route", link)
        route.bytes = ByteBuffer(string: "<j:route from='sm-1.jackdaw.internal' to='c2s-1.jackdaw.internal'/>")
        said.append(word(machine.elementReceived(route)))
        let attributes: KeyValuePairs = ["from": "a@localhost/x@y", "to": "chess.localhost/a/b@c"]
        said.append(word(machine.elementReceived(element("message", "jabber:component:accept", attributes))))
        said.append(word(machine.elementReceived(element("declare", link, ["epoch": "e"]))))
        said.append(word(machine.failed(StreamError(.conflict))))
        #expect(
            said == [
                "send <?xml version='1.0'?", "bind sm-1.jackdaw.internal", "send <handshake/>",
                "declare [\"localhost\"]", "send <j:declared/>", "route sm-1.jackdaw.internal c2s-1.jackdaw.internal",
                "internal localhost chess.localhost", "declare []", "close conflict",
            ]
        )
    }

    @Test func `an error before the header opens a stream of its own`() {
        var machine = ComponentStreamStateMachine()
        guard case .close(let bytes, _) = machine.failed(StreamError(.notWellFormed), id: "id1") else {
            Issue.record("the stream is not closed")
            return
        }
        #expect(
            String(buffer: bytes)
                == "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                + "xmlns:stream='http://etherx.jabber.org/streams' id='id1'><stream:error>"
                + "<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        )
    }

    @Test func `a second stream header is refused`() {
        var machine = ComponentStreamStateMachine()
        _ = machine.streamOpened(header(to: "chess.localhost"), id: "id1", directory: directory)
        #expect(
            word(machine.streamOpened(header(to: "chess.localhost"), id: "id1", directory: directory))
                == "close bad-format"
        )
    }

    @Test func `nothing is answered after the end`() {
        var machine = ComponentStreamStateMachine()
        _ = machine.failed(StreamError(.connectionTimeout), id: "id1")
        #expect(word(machine.elementReceived(handshake("x"))) == "nothing")
        #expect(word(machine.failed(StreamError(.conflict))) == "nothing")
        #expect(word(machine.bound()) == "nothing")
        #expect(word(machine.declared()) == "nothing")
    }

    @Test func `stanzas between the handshake and its answer are refused`() {
        var machine = ComponentStreamStateMachine()
        _ = machine.streamOpened(header(to: "chess.localhost"), id: "id1", directory: directory)
        _ = machine.elementReceived(handshake("secret of chess.localhost"))
        #expect(machine.isAuthenticated == true)
        #expect(word(machine.elementReceived(element("message"))) == "close not-authorized")
    }
}
