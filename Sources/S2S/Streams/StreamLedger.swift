// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import SASL
import XMPPStream

/// What went over a stream and came over it, in the counters of XEP-0198 (version 1.6.3): it outlives the connection
/// where the stream can be resumed. A pure value.
///
/// What we sent is kept until the peer acknowledges it. What the peer sent is handled when the suite has settled it; `h`
/// is the unbroken run.
struct StreamLedger: Sendable {
    /// The name that stable ids are made of: random, of this stream alone.
    let name: String
    /// What we send counts.
    private(set) var isOn = false
    /// What the peer sends counts: from `<enabled/>` on, whoever says it.
    private(set) var isCountingInbound = false
    /// With it the stream can be resumed; nil: it cannot.
    private(set) var token: String?
    private(set) var resumptionSeconds: UInt32?
    /// What the peer has not acknowledged, the oldest first.
    private(set) var unacknowledged: Deque<OutgoingStanza> = []
    private(set) var unacknowledgedBytes = 0
    /// The count that the peer acknowledged last.
    private(set) var acknowledged: UInt32 = 0
    private(set) var inbound = InboundSettlement()
    /// The number of the next stanza of the peer.
    private(set) var next: UInt64 = 1
    /// The number of stanzas before counting began.
    private var base: UInt64 = 0
    /// So many of `unacknowledged` the peer has been asked about.
    private var requested = 0
    private var isRequestOpen = false
    /// Its connection is lost: before the answer to `<resume/>` nothing counts, and nothing is asked.
    private var isSuspended = false

    init(name: String = Digest.randomName()) {
        self.name = name
    }

    // MARK: - What the peer sends

    /// Its next stanza; one that is not new was had before, on the connection that was lost.
    mutating func stanzaReceived() -> (number: UInt64, isNew: Bool) {
        let number = self.next
        self.next += 1
        return (number, self.inbound.received(number) == .new)
    }

    /// The suite is done with the stanza. The run is to be told when it grew.
    mutating func settled(_ number: UInt64) {
        self.inbound.settled(number)
    }

    /// `h`: what is handled of what was counted.
    var handled: UInt32 { self.inbound.acknowledgement(since: self.base) }

    /// Stanzas of the peer that are not settled.
    var openCount: Int { self.inbound.openCount }

    /// `h`, when it grew since it was told last.
    mutating func report() -> UInt32? {
        guard self.isCountingInbound, self.inbound.report() != nil else { return nil }
        return self.handled
    }

    // MARK: - Counting

    /// We say `<enabled/>`: what comes and goes from now on is number 1.
    mutating func enable(token: String?, seconds: UInt32?) {
        self.isOn = true
        self.countInbound(token: token, seconds: seconds)
    }

    /// We say `<enable/>`: what goes from now on is number 1. What comes before the answer the peer does not count.
    mutating func enableOutbound() {
        self.isOn = true
    }

    /// The peer says `<enabled/>`: what comes from now on is number 1. It says for how long the stream can be resumed.
    mutating func countInbound(token: String?, seconds: UInt32?) {
        self.token = token
        self.resumptionSeconds = seconds
        self.isCountingInbound = true
        self.base = self.next - 1
    }

    /// The peer does not count after all.
    mutating func disable() {
        self.isOn = false
        self.isCountingInbound = false
        self.token = nil
    }

    // MARK: - What we send

    mutating func sent(_ stanza: OutgoingStanza) {
        self.unacknowledged.append(stanza)
        self.unacknowledgedBytes += stanza.size
    }

    /// Takes back the last so many, which did not go out after all.
    mutating func takeUnsent(_ count: Int) -> [OutgoingStanza] {
        let unsent = Array(self.unacknowledged.suffix(count))
        self.unacknowledged.removeLast(unsent.count)
        for stanza in unsent { self.unacknowledgedBytes -= stanza.size }
        self.requested = min(self.requested, self.unacknowledged.count)
        return unsent
    }

    /// Whether `<r/>` is due: something went out that it was not asked about, and no answer is awaited.
    mutating func requestIsDue() -> Bool {
        guard self.isOn, !self.isSuspended, !self.isRequestOpen, self.unacknowledged.count > self.requested else {
            return false
        }
        self.isRequestOpen = true
        self.requested = self.unacknowledged.count
        return true
    }

    /// The peer acknowledges up to `h`: gives what is done with; nil where `h` is more than was sent.
    mutating func acknowledgementReceived(_ h: UInt32) -> [OutgoingStanza]? {
        let count = Int(h &- self.acknowledged)
        guard count <= self.unacknowledged.count else { return nil }
        let done = Array(self.unacknowledged.prefix(count))
        self.unacknowledged.removeFirst(count)
        for stanza in done { self.unacknowledgedBytes -= stanza.size }
        self.acknowledged = h
        self.requested = max(0, self.requested - count)
        self.isRequestOpen = false
        return done
    }

    /// Everything is given up: nobody knows what of it arrived.
    mutating func takeUnacknowledged() -> [OutgoingStanza] {
        defer {
            self.unacknowledged = []
            self.unacknowledgedBytes = 0
            self.requested = 0
        }
        return Array(self.unacknowledged)
    }

    // MARK: - Resumption

    /// Whether a stream on which `proved` are may go on with this one, of `pairs`: the header's name alone proves nothing,
    /// and what is to be sent again must not come to anybody else.
    func mayGoOn(of pairs: Set<FederationPair>, with proved: Set<FederationPair>) -> Bool {
        !pairs.isDisjoint(with: proved) && self.unacknowledged.allSatisfy { proved.contains($0.pair) }
    }

    /// The connection is lost.
    mutating func suspended() { self.isSuspended = true }

    /// The stream goes on over another connection: what is not settled comes again, under the same numbers.
    mutating func resumed() {
        self.next = self.inbound.run + 1
        self.requested = 0
        self.isRequestOpen = false
        self.isSuspended = false
    }
}
