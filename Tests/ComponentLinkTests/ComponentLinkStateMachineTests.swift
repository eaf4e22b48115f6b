// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML
import XMPPCore

@testable import ComponentLink

/// An instance's end of the link, as transcripts.
@Suite struct ComponentLinkStateMachineTests {
    private static let identity = ComponentLinkStateMachine.Configuration(
        name: "sm-1.jackdaw.internal",
        secret: "test",
        declaration: LinkDeclaration(epoch: "e", names: ["localhost"])
    )

    private func header(id: String?) -> StreamHeader {
        StreamHeader(
            namespace: Namespace.streams,
            name: "stream",
            contentNamespace: Namespace.component,
            attributes: id.map { [TagAttribute(name: "id", value: $0)] } ?? []
        )
    }

    private func word(_ action: ComponentLinkStateMachine.Action) -> String {
        switch action {
        case .nothing: "nothing"
        case .send(let bytes): String(buffer: bytes)
        case .linkUp: "up"
        case .instanceAvailable(let instance): "available \(instance.name)"
        case .instanceUnavailable(let instance): "unavailable \(instance.name)"
        case .instancesComplete: "complete"
        case .deliverRoute(let route): "route from \(route.from)"
        case .deliverStanza(let element): "stanza \(element.name)"
        case .ignore(let fault): "ignore \(fault)"
        case .reset(let failure): "reset \(failure)"
        }
    }

    /// Feeds a machine with what the router says; an empty text is the header.
    private func transcript(_ said: [String]) throws -> [String] {
        var machine = ComponentLinkStateMachine(Self.identity)
        var answers = [self.word(machine.connected())]
        for text in said {
            if text.isEmpty {
                answers.append(self.word(machine.streamOpened(self.header(id: "3BF96D32"))))
            } else {
                answers.append(self.word(machine.elementReceived(try LinkReader.element(text))))
            }
        }
        return answers
    }

    private static let opening =
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
        + "xmlns:stream='http://etherx.jabber.org/streams' xmlns:j='urn:jackdaw:link:0' to='sm-1.jackdaw.internal'>"
    private static let handshake = "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>"
    private static let declaration = "<j:declare epoch='e'><j:name>localhost</j:name></j:declare>"

    @Test func `an instance proves its secret, declares itself, and then takes all that comes`() throws {
        let instance = "<j:instance name='c2s-1' epoch='f' kind='internal' state="
        let answers = try self.transcript([
            "", "<handshake/>", "<j:declared/>", instance + "'available'/>", "<j:instances-complete/>",
            "<j:route from='c2s-1' to='sm-1'><x/></j:route>", "<message to='a@localhost'/>",
            instance + "'unavailable'/>", "<j:what/>", "<j:declared/>",
        ])
        #expect(
            answers == [
                Self.opening, Self.handshake, Self.declaration, "up", "available c2s-1", "complete",
                "route from c2s-1", "stanza message", "unavailable c2s-1",
                "ignore unknownElement(\"what\")", "ignore unknownElement(\"declared\")",
            ]
        )
    }

    @Test(arguments: [
        (["", "<message/>"], "violation"), (["", "<handshake/>", "<handshake/>"], "violation"),
        (["", ""], "violation"),
        (["<handshake/>"], "violation"), (["", "<handshake/>", "<j:instances-complete/>"], "violation"),
        (
            ["", "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"],
            "streamError(condition: \"conflict\""
        ),
    ])
    func `anything else resets the link, and nothing is said after that`(said: [String], failure: String) throws {
        let answers = try self.transcript(said + ["<j:declared/>"])
        #expect(answers.last == "nothing")
        #expect(answers[answers.count - 2].hasPrefix("reset \(failure)"), "\(answers)")
    }

    @Test func `the proof is that of XEP-0114`() {
        // printf %s 3BF96D32test | sha1sum
        #expect(
            ComponentHandshake.proof(streamID: "3BF96D32", secret: "test") == "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e"
        )
        let proof = ComponentHandshake.proof(streamID: "3BF96D32", secret: "test")
        #expect(ComponentHandshake.verify(proof, streamID: "3BF96D32", secret: "test"))
        #expect(!ComponentHandshake.verify(proof, streamID: "3BF96D33", secret: "test"))
        #expect(!ComponentHandshake.verify(proof.uppercased(), streamID: "3BF96D32", secret: "test"))
        #expect(!ComponentHandshake.verify("", streamID: "3BF96D32", secret: "test"))
    }

    @Test func `delays double up to the longest, in their upper half, and start over`() {
        var backoff = ReconnectBackoff(first: .milliseconds(100), longest: .seconds(1))
        #expect(
            [0, 0, 0, 0, 0, 0].map { backoff.next(random: $0) }
                == [50, 100, 200, 400, 500, 500].map { .milliseconds($0) }
        )
        backoff.reset()
        #expect(backoff.next(random: 1) == .milliseconds(100))
        for _ in 0..<100 { #expect(backoff.next(random: 7) <= .seconds(1)) }
    }
}
