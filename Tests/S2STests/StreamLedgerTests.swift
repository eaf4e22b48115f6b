// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing
import XMPPCore

@testable import S2S

/// The counters of XEP-0198 between servers.
@Suite struct StreamLedgerTests {
    private func stanza(_ token: UInt64) -> OutgoingStanza {
        OutgoingStanza(
            Stanza(kind: .message, id: "\(token)"),
            pair: Conversation.pair,
            ticket: ForwardOrigin(instance: "sm-1", token: token),
            deadline: .distantFuture
        )
    }

    @Test func `What is acknowledged is done with, in order`() {
        var ledger = StreamLedger()
        ledger.enable(token: nil, seconds: nil)
        for token in 1...3 { ledger.sent(self.stanza(UInt64(token))) }
        #expect(ledger.requestIsDue() && !ledger.requestIsDue())
        #expect(ledger.acknowledgementReceived(2)?.compactMap(\.ticket?.token) == [1, 2])
        #expect(ledger.acknowledgementReceived(2)?.isEmpty == true)
        #expect(ledger.acknowledgementReceived(4) == nil, "more than was sent")
        #expect(ledger.takeUnacknowledged().compactMap(\.ticket?.token) == [3])
        #expect(ledger.unacknowledgedBytes == 0)
    }

    @Test func `h is the unbroken run of what is settled, from the moment that counting began`() {
        var ledger = StreamLedger()
        #expect(ledger.stanzaReceived() == (1, true))
        ledger.settled(1)
        ledger.enable(token: "t", seconds: 60)
        for _ in 2...4 { _ = ledger.stanzaReceived() }
        ledger.settled(3)
        #expect(ledger.report() == nil || ledger.handled == 0)
        ledger.settled(2)
        #expect(ledger.handled == 2 && ledger.openCount == 1)
    }

    @Test func `What a peer sends before it says enabled does not count, and is not told`() {
        var ledger = StreamLedger()
        ledger.enableOutbound()
        #expect(ledger.isOn && !ledger.isCountingInbound)
        #expect(ledger.stanzaReceived() == (1, true))
        ledger.settled(1)
        #expect(ledger.report() == nil)
        ledger.countInbound(token: "t", seconds: 60)
        #expect(ledger.handled == 0)
        _ = ledger.stanzaReceived()
        ledger.settled(2)
        #expect(ledger.report() == 1)
    }

    @Test func `What did not go out is not awaited`() {
        var ledger = StreamLedger()
        ledger.enable(token: "t", seconds: 60)
        for token in 1...3 { ledger.sent(self.stanza(UInt64(token))) }
        let isDue = ledger.requestIsDue()
        let unsent = ledger.takeUnsent(2)
        #expect(
            isDue && unsent.compactMap(\.ticket?.token) == [2, 3]
                && ledger.unacknowledged.compactMap(\.ticket?.token) == [1]
        )
        let tooMany = ledger.acknowledgementReceived(2)
        let done = ledger.acknowledgementReceived(1)
        #expect(tooMany == nil && done?.count == 1 && ledger.unacknowledgedBytes == 0)
    }

    @Test func `Nothing is asked before the answer to a resumption`() {
        var ledger = StreamLedger()
        ledger.enable(token: "t", seconds: 60)
        ledger.sent(self.stanza(1))
        var isDue = [ledger.requestIsDue()]
        ledger.sent(self.stanza(2))
        ledger.suspended()
        isDue.append(ledger.requestIsDue())
        ledger.resumed()
        isDue.append(ledger.requestIsDue())
        #expect(isDue == [true, false, true])
    }

    @Test func `A stream is gone on with only by who proved what it was for`() {
        var ledger = StreamLedger()
        let other = FederationPair(local: Conversation.initiator, remote: "evil.example")
        let pairs: Set = [Conversation.pair]
        #expect(ledger.mayGoOn(of: pairs, with: pairs))
        #expect(!ledger.mayGoOn(of: pairs, with: [other]))
        #expect(!ledger.mayGoOn(of: pairs, with: []))
        ledger.enable(token: "t", seconds: 60)
        ledger.sent(self.stanza(1))
        #expect(ledger.mayGoOn(of: [Conversation.pair, other], with: [Conversation.pair]))
        #expect(!ledger.mayGoOn(of: [Conversation.pair, other], with: [other]), "what waits is not for that one")
    }

    @Test func `After a resumption what is not settled comes again under its number, and is not taken twice`() {
        var ledger = StreamLedger()
        ledger.enable(token: "t", seconds: 60)
        for _ in 1...3 { _ = ledger.stanzaReceived() }
        ledger.settled(1)
        ledger.resumed()
        #expect(ledger.stanzaReceived() == (2, false))
        #expect(ledger.stanzaReceived() == (3, false))
        #expect(ledger.stanzaReceived() == (4, true))
    }
}
