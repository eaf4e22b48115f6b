// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XML
import XMPPCore
import XMPPStream

@Suite struct StreamManagementTests {
    private func enabled(after before: Int = 0) -> StreamManagement {
        var counters = StreamManagement()
        for _ in 0..<before { _ = counters.stanzaReceived() }
        _ = counters.enableRequested()
        _ = counters.enabled()
        return counters
    }

    @Test func `stanzas are numbered from 1, and enabling does not begin anew`() {
        var counters = StreamManagement()
        #expect(counters.stanzaReceived() == 1)
        #expect(counters.stanzaReceived() == 2)
        #expect(counters.enableRequested() == .askOwner(stanzasBefore: 2))
        #expect(counters.stanzaReceived() == 3)
        #expect(counters.enabled() == nil)
        #expect(counters.stanzaReceived() == 4)
        #expect(counters.received == 4)
    }

    @Test func `h counts what was settled since enabling`() {
        var counters = enabled(after: 3)
        #expect(counters.handled == 0)
        #expect(counters.settled(upTo: 2) == nil)
        #expect(counters.handled == 0)
        _ = counters.stanzaReceived()
        _ = counters.stanzaReceived()
        #expect(counters.acknowledgementRequested() == 0)
        #expect(counters.settled(upTo: 3) == nil)
        #expect(counters.handled == 0)
        #expect(counters.settled(upTo: 4) == nil)
        #expect(counters.acknowledgementRequested() == 1)
        #expect(counters.settled(upTo: 5) == 2)
        #expect(counters.acknowledgementRequested() == 2)
    }

    @Test func `a request that was answered in full leaves no debt`() {
        var counters = enabled()
        _ = counters.stanzaReceived()
        #expect(counters.settled(upTo: 1) == nil)
        #expect(counters.acknowledgementRequested() == 1)
        _ = counters.stanzaReceived()
        #expect(counters.settled(upTo: 2) == nil)
    }

    @Test func `a debt is paid once, when what was received at the request is settled`() {
        var counters = enabled()
        for _ in 0..<3 { _ = counters.stanzaReceived() }
        #expect(counters.acknowledgementRequested() == 0)
        for _ in 0..<2 { _ = counters.stanzaReceived() }
        #expect(counters.settled(upTo: 2) == nil)
        #expect(counters.settled(upTo: 4) == 4)
        #expect(counters.settled(upTo: 5) == nil)
    }

    @Test func `of many debts the oldest and the newest are paid`() {
        var counters = enabled()
        for _ in 0..<9 {
            _ = counters.stanzaReceived()
            #expect(counters.acknowledgementRequested() == 0)
        }
        _ = counters.stanzaReceived()
        #expect(counters.settled(upTo: 1) == 1)
        #expect(counters.settled(upTo: 5) == nil)
        #expect(counters.settled(upTo: 9) == 9)
        #expect(counters.settled(upTo: 10) == nil)
    }

    @Test func `a request while enabling is answered after enabling`() {
        var counters = StreamManagement()
        _ = counters.stanzaReceived()
        #expect(counters.acknowledgementRequested() == nil)
        _ = counters.enableRequested()
        #expect(counters.acknowledgementRequested() == nil)
        #expect(counters.enabled() == 0)
        #expect(enabled().isOn)

        counters = StreamManagement()
        _ = counters.enableRequested()
        _ = counters.stanzaReceived()
        #expect(counters.acknowledgementRequested() == nil)
        #expect(counters.enabled() == 0)
        #expect(counters.settled(upTo: 1) == 1)
    }

    @Test func `enabling happens once, and may fail`() {
        var counters = StreamManagement()
        #expect(counters.enabled() == nil)
        #expect(!counters.isOn)
        _ = counters.enableRequested()
        #expect(counters.enableRequested() == .unexpectedRequest)
        counters.enableFailed()
        #expect(!counters.isOn)
        #expect(counters.acknowledgementReceived(h: 0) == .notEnabled)
        #expect(counters.enableRequested() == .askOwner(stanzasBefore: 0))
        _ = counters.enabled()
        #expect(counters.isOn)
        #expect(counters.enableRequested() == .unexpectedRequest)
    }

    @Test func `a report of what was never received does not run ahead`() {
        var counters = enabled()
        _ = counters.stanzaReceived()
        #expect(counters.settled(upTo: 100) == nil)
        #expect(counters.handled == 1)
        #expect(counters.settled(upTo: 0) == nil)
        #expect(counters.handled == 1)
    }

    @Test func `an acknowledgement moves forward only, and never beyond what was sent`() {
        var counters = enabled()
        for number in UInt64(1)...5 { counters.stanzaSent(number: number) }
        #expect(counters.unacknowledged == 5)
        #expect(counters.acknowledgementReceived(h: 0) == .nothing)
        #expect(counters.acknowledgementReceived(h: 3) == .acknowledged(3))
        #expect(counters.acknowledgementReceived(h: 3) == .nothing)
        let tooHigh = HandledCountTooHigh(h: 6, sendCount: 5)
        #expect(counters.acknowledgementReceived(h: 6) == .handledCountTooHigh(tooHigh))
        // Backwards is the same as much too far.
        let backwards = HandledCountTooHigh(h: 2, sendCount: 5)
        #expect(counters.acknowledgementReceived(h: 2) == .handledCountTooHigh(backwards))
        #expect(counters.acknowledgementReceived(h: 5) == .acknowledged(5))
        #expect(counters.unacknowledged == 0)
    }

    @Test func `too high a count is the stream error of XEP-0198 section 4`() {
        let error = HandledCountTooHigh(h: 10, sendCount: 8).streamError
        #expect(error.condition == .undefinedCondition)
        #expect(error.application?.name == "handled-count-too-high")
        #expect(error.application?.namespace == "urn:xmpp:sm:3")
        #expect(error.application?["h"] == "10")
        #expect(error.application?["send-count"] == "8")
    }

    @Test func `one request is under way, and one is due only after something was sent`() {
        var counters = StreamManagement()
        counters.stanzaSent(number: 1)
        #expect(counters.requestIsDue() == false)
        counters = enabled()
        #expect(counters.requestIsDue() == false)
        counters.stanzaSent(number: 1)
        #expect(counters.requestIsDue() == true)
        #expect(counters.requestIsDue() == false)
        counters.stanzaSent(number: 2)
        #expect(counters.requestIsDue() == false)
        _ = counters.acknowledgementReceived(h: 1)
        #expect(counters.requestIsDue() == true)
        _ = counters.acknowledgementReceived(h: 1)
        // Answered short: to ask again at once would be a game of ping-pong.
        #expect(counters.requestIsDue() == false)
    }

    @Test func `a resumed session goes on where it stopped`() {
        // 7 stanzas before enabling, 5 settled after it; the client got 8 of 10.
        var counters = StreamManagement(resumedAt: 13, handled: 5, sent: 10, clientHandled: 8)
        #expect(counters.isOn)
        #expect(counters.handled == 5)
        #expect(counters.acknowledgementRequested() == 5)
        #expect(counters.stanzaReceived() == 13)
        #expect(counters.settled(upTo: 13) == nil)
        #expect(counters.handled == 6)
        #expect(counters.unacknowledged == 0)
        #expect(
            counters.acknowledgementReceived(h: 9)
                == .handledCountTooHigh(HandledCountTooHigh(h: 9, sendCount: 8))
        )
        counters.stanzaSent(number: 9)
        counters.stanzaSent(number: 10)
        #expect(counters.requestIsDue() == true)
        #expect(counters.acknowledgementReceived(h: 10) == .acknowledged(10))
    }

    /// Each pair: where the inbound and the outbound counter stand when the wrap is near.
    @Test(arguments: [
        (UInt64(1) << 32, UInt64(1) << 32), (UInt64(3) << 32, UInt64(5) << 32), (UInt64(1) << 32 + 7, UInt64(1) << 33),
    ])
    func `the counters wrap at 2^32`(received: UInt64, sent: UInt64) {
        let h = UInt32.max - 1
        let clientHandled = UInt32(truncatingIfNeeded: sent &- 2)
        var counters = StreamManagement(resumedAt: received, handled: h, sent: sent, clientHandled: clientHandled)
        for step in UInt64(0)..<5 {
            #expect(counters.stanzaReceived() == received + step)
            _ = counters.settled(upTo: received + step)
            #expect(counters.handled == h &+ UInt32(step) &+ 1)
            #expect(counters.acknowledgementRequested() == h &+ UInt32(step) &+ 1)
        }
        for step in UInt64(0)..<5 {
            let number = sent - 1 + step
            counters.stanzaSent(number: number)
            let tooHigh = HandledCountTooHigh(
                h: UInt32(truncatingIfNeeded: number &+ 1),
                sendCount: UInt32(truncatingIfNeeded: number)
            )
            #expect(counters.acknowledgementReceived(h: tooHigh.h) == .handledCountTooHigh(tooHigh))
            #expect(counters.acknowledgementReceived(h: tooHigh.sendCount) == .acknowledged(number))
        }
    }

    /// Random conversations against a model with counters of unlimited width, begun just below the wrap.
    @Test(arguments: 0..<50)
    func `random conversations agree with a model`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let start = (UInt64(1) << 32) - 20
        var counters = StreamManagement(
            resumedAt: start + 1,
            handled: UInt32(truncatingIfNeeded: start),
            sent: start,
            clientHandled: UInt32(truncatingIfNeeded: start)
        )
        var model = Model(received: start, settled: start, sent: start, acknowledged: start)
        for _ in 0..<400 { model.step(&counters, &random) }
        #expect(model.received > UInt64(1) << 32)
        #expect(counters.unacknowledged == model.sent - model.acknowledged)
    }

    private struct Model {
        var received: UInt64
        var settled: UInt64
        var sent: UInt64
        var acknowledged: UInt64
        /// All requests that were answered short: what had been received then.
        var debts: [UInt64] = []

        mutating func step(_ counters: inout StreamManagement, _ random: inout SeededGenerator) {
            switch random.next() % 6 {
            case 0, 1:
                received += 1
                #expect(counters.stanzaReceived() == received)
            case 2:
                guard settled < received else { return }
                settled += 1 + random.next() % (received - settled)
                let h = UInt32(truncatingIfNeeded: settled)
                // The oldest debt is always paid when it is due, and so is the newest.
                let due = debts.first.map { $0 <= settled } == true || debts.last.map { $0 <= settled } == true
                let paid = counters.settled(upTo: settled)
                if due { #expect(paid == h) }
                if debts.isEmpty { #expect(paid == nil) }
                debts.removeAll { $0 <= settled }
                // Those between the oldest and the newest need no answer.
                if due, let newest = debts.last { debts = [newest] }
            case 3:
                #expect(counters.acknowledgementRequested() == UInt32(truncatingIfNeeded: settled))
                if settled < received { debts.append(received) }
            case 4:
                sent += 1
                counters.stanzaSent(number: sent)
            default:
                let claimed = acknowledged + random.next() % (sent - acknowledged + 3)
                let verdict = counters.acknowledgementReceived(h: UInt32(truncatingIfNeeded: claimed))
                if claimed > sent {
                    guard case .handledCountTooHigh = verdict else {
                        Issue.record("\(verdict)")
                        return
                    }
                } else {
                    #expect(verdict == (claimed > acknowledged ? .acknowledged(claimed) : .nothing))
                    acknowledged = claimed
                }
            }
        }
    }
}
