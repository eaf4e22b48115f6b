// SPDX-License-Identifier: Apache-2.0

import Config
import Testing
import XMPPCore

@testable import S2S

/// What a peer must not get away with.
@Suite struct HostilePeerTests {
    private static func header(from: String? = "a.example", to: String = "b.example", id: String = "") -> String {
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
            + "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='\(to)'"
            + (from.map { " from='\($0)'" } ?? "") + ">"
    }

    private func opened() -> Conversation {
        let conversation = Conversation(receiver: { $0.s2s.policy.tls = .optional })
        conversation.say(Self.header())
        return conversation
    }

    @Test(
        "Headers that end the stream",
        arguments: [
            (header(to: "c.example"), "< closed host-unknown: c.example is not served here"),
            (header(from: "b.example"), "< closed invalid-from: b.example is served here"),
            (header(from: "also.b.example"), "< closed invalid-from: also.b.example is served here"),
            (header(from: "sm-1.jackdaw.internal"), "< closed invalid-from: sm-1.jackdaw.internal is served here"),
            (header(from: "x@a.example"), "< closed improper-addressing: "),
            ("<stream xmlns='jabber:server'/>", "< closed invalid-namespace: "),
        ]
    )
    func headers(text: String, expected: String) {
        #expect(Conversation().say(text).contains(expected))
    }

    @Test(
        "Dialback that nobody asked for is not believed (CVE-2012-3525)",
        arguments: [
            "<db:result from='a.example' to='b.example' type='valid'/>",
            "<db:verify from='a.example' to='b.example' id='1' type='valid'/>",
        ]
    )
    func unsolicited(text: String) {
        let conversation = self.opened()
        #expect(conversation.say(text).contains("< closed policy-violation: nobody asked for this answer"))
        #expect(!conversation.receiving.isAuthenticated)
    }

    @Test func `An initiator does not believe it either`() {
        let conversation = Conversation()
        conversation.run()
        let other = "<db:result xmlns:db='jabber:server:dialback' from='c.example' to='a.example' type='valid'/>"
        #expect(conversation.answer(other).isEmpty)
        #expect(conversation.initiating.pairs == [Conversation.pair])
    }

    @Test func `A domain of ours cannot be claimed by dialback`() {
        let log = self.opened().say("<db:result from='also.b.example' to='b.example'>key</db:result>")
        #expect(log.contains("< closed invalid-from: also.b.example is served here"))
    }

    @Test func `A key is confirmed only if it is ours`() {
        let conversation = self.opened()
        let key = conversation.receiving.key.key(receiving: "a.example", originating: "b.example", streamID: "s1")
        let question = { (key: String, id: String) in
            "<db:verify from='a.example' to='b.example' id='\(id)'>\(key)</db:verify>"
        }
        var answers: [String] = []
        for (key, id) in [(key, "s1"), (key, "s2"), ("", "s1"), (String(key.dropLast()), "s1")] {
            let before = conversation.heard.count
            conversation.say(question(key, id))
            answers.append(conversation.heard[before...].joined())
        }
        #expect(answers.map { $0.contains("type='valid'") } == [true, false, false, false])
        #expect(answers.map { $0.contains("type='invalid'") } == [false, true, true, true])
    }

    @Test(
        "What a stanza's addresses must be",
        arguments: [
            ("b.example", "a.example", nil),
            ("b.example", "c.example", StreamError.Condition.invalidFrom),
            ("c.example", "a.example", .hostUnknown),
            ("also.b.example", "a.example", .notAuthorized),
            (nil, "a.example", .improperAddressing),
            ("b.example", nil, .improperAddressing),
        ] as [(String?, String?, StreamError.Condition?)]
    )
    func stanza(to: String?, from: String?, expected: StreamError.Condition?) {
        let conversation = Conversation()
        conversation.run()
        #expect(conversation.receiving.fault(to: to, from: from)?.condition == expected)
    }

    @Test func `Before a domain is proved no stanza is taken`() {
        #expect(self.opened().receiving.fault(to: "b.example", from: "a.example")?.condition == .notAuthorized)
    }

    @Test("TLS does not begin on a stream on which something was proved without it", arguments: [true, false])
    func lateTLS(isProved: Bool) {
        let conversation = self.opened()
        conversation.authority = .valid
        if isProved { conversation.say("<db:result from='a.example' to='b.example'>key</db:result>") }
        let before = conversation.heard.count
        conversation.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        let answer = conversation.heard[before...].joined()
        #expect(answer.contains("<failure") == isProved)
        #expect(answer.contains("<proceed") == !isProved)
    }

    @Test func `No more pairs are proved than may be`() {
        let conversation = self.opened()
        conversation.authority = .valid
        for number in 1...5 {
            conversation.say("<db:result from='a\(number).example' to='b.example'>key</db:result>")
        }
        #expect(conversation.receiving.pairs.count == 3)
    }
}
