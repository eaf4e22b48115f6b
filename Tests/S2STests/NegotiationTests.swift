// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Testing
import XMPPCore

@testable import S2S

/// How two servers come to trust each other, or do not.
@Suite struct NegotiationTests {
    private let doubtful = CertificateVerdict.doubtful("is signed by itself")

    @Test func `Two good certificates are all that is needed`() {
        let conversation = Conversation()
        #expect(
            conversation.run() == [
                "< authenticated a.example to b.example by certificate",
                "> authenticated a.example by certificate, b.example by certificate",
            ]
        )
        #expect(conversation.initiating.isBidirectional && conversation.receiving.isBidirectional)
    }

    @Test func `Without a certificate that proves it a domain is proved by dialback`() {
        let conversation = Conversation()
        conversation.ofInitiator = self.doubtful
        #expect(
            conversation.run() == [
                "< authenticated a.example to b.example by dialback",
                "> authenticated a.example by dialback, b.example by certificate",
            ]
        )
    }

    @Test func `A rule for dialback does not look at certificates`() {
        let conversation = Conversation(receiver: { $0.s2s.policy.authentication = .dialback })
        #expect(conversation.run().first == "< authenticated a.example to b.example by dialback")
    }

    @Test func `A rule for certificates refuses dialback, with the reason on both sides`() {
        let conversation = Conversation(receiver: { $0.s2s.policy.authentication = .certificate })
        conversation.ofInitiator = self.doubtful
        let reason =
            "a.example has no certificate that proves its name, and this server requires one: is signed by itself"
        let log = conversation.run()
        #expect(log.contains("< closed policy-violation: \(reason)"))
        #expect(log.contains("> closed b.example ended the stream: policy-violation (\(reason))"))
    }

    @Test func `Whom we connect to is judged as well`() {
        let conversation = Conversation(initiator: { $0.s2s.policy.selfSigned = .refuse })
        conversation.ofReceiver = self.doubtful
        let log = conversation.run()
        #expect(
            log.contains("> closed b.example has a certificate that this server does not trust: is signed by itself")
        )
        #expect(!log.contains { $0.contains("authenticated") })
    }

    @Test func `A domain that has to be proved by DANE is not by less`() {
        let conversation = Conversation(initiator: { $0.s2s.policy.dane = .required })
        #expect(
            conversation.run().contains(
                "> closed b.example has no certificate that DANE proves, and this server requires it"
            )
        )
        let good = Conversation(initiator: { $0.s2s.policy.dane = .required })
        good.ofReceiver = .proved(.dane)
        #expect(good.run().last == "> authenticated a.example by certificate, b.example by dane")
    }

    @Test func `A key that the authoritative server does not know ends the stream`() {
        let conversation = Conversation()
        conversation.ofInitiator = self.doubtful
        conversation.authority = .invalid
        let log = conversation.run()
        #expect(log.contains("< closed not-authorized: the key is not a.example's"))
        #expect(log.contains { $0.hasPrefix("> closed b.example could not confirm by dialback") })
    }

    @Test func `An authoritative server that cannot be asked leaves the stream open`() {
        let conversation = Conversation()
        conversation.ofInitiator = self.doubtful
        conversation.authority = .failed(StanzaError(.remoteServerNotFound, text: "a.example is not in DNS"))
        let log = conversation.run()
        #expect(!log.contains { $0.hasPrefix("< closed") && $0.contains(":") })
        #expect(log.contains { $0.contains("remote-server-not-found (a.example is not in DNS)") })
    }

    @Test("A server that may not federate is told so at once", arguments: [(["c.example"], []), ([], ["example"])])
    func notAllowed(allow: [String], deny: [String]) {
        let pattern = { (name: String) in JackdawConfiguration.DomainPattern(domain: name, isExact: false) }
        let conversation = Conversation(receiver: {
            $0.s2s.allow = allow.map(pattern)
            $0.s2s.deny = deny.map(pattern)
        })
        #expect(conversation.run().contains("< closed policy-violation: this server does not federate with a.example"))
    }

    @Test func `Without TLS a server that requires it is not spoken to`() {
        let conversation = Conversation()
        conversation.did(conversation.initiating.authenticate(Conversation.pair))
        let log = conversation.answer(
            "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"
                + "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
        )
        #expect(log.last == "> closed b.example offers no encryption, and this server requires it")
    }

    @Test func `Where TLS is optional dialback does without it`() {
        let conversation = Conversation(initiator: { $0.s2s.policy.tls = .optional })
        conversation.did(conversation.initiating.authenticate(Conversation.pair))
        let opening =
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
            + "xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
        #expect(conversation.answer(opening).isEmpty)
        let log = conversation.answer("<db:result from='b.example' to='a.example' type='valid'/>")
        #expect(log == ["> authenticated a.example by dialback, b.example by dialback"])
    }

    @Test func `A second domain of ours is proved on the same stream`() {
        let conversation = Conversation()
        conversation.run()
        let second = FederationPair(local: "also.a.example", remote: Conversation.receiver)
        conversation.ofInitiator = self.doubtful
        conversation.did(conversation.initiating.authenticate(second))
        conversation.pump()
        #expect(conversation.initiating.pairs == [Conversation.pair, second])
        #expect(conversation.receiving.pairs.count == 2)
    }

    // MARK: - Streams that are there to ask

    private static let header =
        "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' version='1.0' "
        + "xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example' id='1'>"

    @Test func `A peer that came to ask about a key, and then says nothing, is no fault`() {
        let conversation = Conversation(receiver: { $0.s2s.policy.tls = .optional })
        conversation.say(Self.header)
        conversation.say("<db:verify from='a.example' to='b.example' id='x'>0</db:verify>")
        conversation.did(conversation.receiving.timedOut())
        #expect(conversation.log == ["< closed "])
        let silent = Conversation(receiver: { $0.s2s.policy.tls = .optional })
        silent.say(Self.header)
        silent.did(silent.receiving.timedOut())
        #expect(silent.log == ["< closed connection-timeout: no domain was proved in time"])
    }

    @Test func `A peer that was asked about a key, and closes the stream afterwards, is no fault`() {
        let question = InitiatingStream.Question(pair: Conversation.pair, streamID: "x", key: "0")
        let conversation = Conversation(initiator: { $0.s2s.policy.tls = .optional })
        conversation.did(conversation.initiating.ask(question))
        let features = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
        conversation.answer(Self.header + features)
        #expect(
            conversation.answer("<db:verify from='b.example' to='a.example' id='x' type='valid'/></stream:stream>")
                == ["> verified b.example x valid", "> closed "]
        )
        let unanswered = Conversation(initiator: { $0.s2s.policy.tls = .optional })
        unanswered.did(unanswered.initiating.ask(question))
        #expect(
            unanswered.answer(Self.header + features + "</stream:stream>")
                == ["> closed b.example closed the stream before it was ready"]
        )
    }
}
