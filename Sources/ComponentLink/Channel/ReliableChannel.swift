// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// One end of the reliable channel between two instances (`docs/protocols.md`, section 4).
///
/// It is transport, not custody: while both processes live and hear of each other in time, each message arrives once and
/// in order, whatever becomes of the links and routers between. Where that can no longer be promised, the channel begins
/// anew, and both ends learn of it: to each the other one *restarted*, and what was not acknowledged is *lost*, which
/// means that nobody knows.
///
/// An end is an ``Incarnation``: the epoch of a start of its process, and how often this end has forgotten what it knew.
/// A message belongs to a pair of incarnations and has a number in it, from 1. An end that forgets takes a new
/// incarnation; so no number is ever used for two messages, and what comes late, or over a slow way, is known by its pair.
///
/// ```
///   pathUp ----> sync(me, you?, have) ---> <--- sync(me, you, have): it knows me: confirmed
///      next ----> messages have+1 ...   --->
///                                      <--- acknowledgement
///   pathDown: what follows waits. The next pathUp begins with sync again, and with what was not acknowledged.
/// ```
///
/// A pure value: no I/O, and time is told to it. `Message` is what its owner sends: bytes, or a number in a simulation.
package struct ReliableChannel<Message> {
    /// What an end says when a way to the other one has been found, and whenever the other one seems not to know it.
    package struct Sync: Equatable, Sendable {
        /// Who speaks.
        package var me: Incarnation
        /// Whom it takes the other one for; nil: it does not know.
        package var you: Incarnation?
        /// The number of the last message that it took from `you`.
        package var have: UInt64
        /// It misses the messages after `have`.
        package var isGap: Bool

        package init(me: Incarnation, you: Incarnation?, have: UInt64, isGap: Bool = false) {
            self.me = me
            self.you = you
            self.have = have
            self.isGap = isGap
        }
    }

    /// What the owner does, in this order; after it, it sends what ``next()`` gives.
    package enum Action {
        /// Sends a sync.
        case sync(Sync)
        /// The other end, which was known, is another one now or counts as one. What it has of these is not known.
        case restarted(lost: [Message])
    }

    /// What becomes of a message that came.
    package enum Reception: Equatable {
        /// It is the next one.
        case taken
        /// It came before.
        case dropped
        /// Those before it are missing: it is dropped, and this is sent.
        case gap(Sync)
    }

    private enum Path {
        case down
        /// Sync was sent; the other end has not said yet that it knows who we are.
        case unconfirmed
        case confirmed
    }

    /// Who this end is.
    package private(set) var me: Incarnation
    /// Who the other end is, as far as it is known.
    package private(set) var peer: Incarnation?
    /// Raised whenever `me` or `peer` changes.
    package private(set) var pairChanges = 0
    private let limits: ChannelLimits
    private var path = Path.down

    /// What the other end has not acknowledged, the first with the number `acknowledged` + 1.
    private var kept: Deque<(message: Message, bytes: Int)> = []
    /// The bytes of all of these.
    package private(set) var keptBytes = 0
    private var acknowledged: UInt64 = 0
    /// The last number that was sent over this path.
    private var sent: UInt64 = 0
    /// The last number that was ever sent: the other end may have all up to it.
    private var exposed: UInt64 = 0

    /// The last number that was taken.
    private var taken: UInt64 = 0
    private var told: UInt64 = 0
    private var takenSince: Int64?
    private var takenBytes = 0
    private var hasToldGap = false
    /// Since when the other end has owed us something.
    private var silentSince: Int64?

    /// Makes the end of a process with this epoch; it knows nobody.
    package init(epoch: String, limits: ChannelLimits = ChannelLimits()) {
        self.me = Incarnation(epoch: epoch, generation: 0)
        self.limits = limits
    }

    /// Whether messages go out at once.
    package var isConfirmed: Bool { self.path == .confirmed }

    /// Nothing was ever said, or nothing that either end has to remember.
    package var isUnused: Bool { self.isPristine && self.kept.isEmpty }

    /// Whose messages go out; nil: nobody is known.
    package var outgoing: Pair? { self.peer.map { Pair(from: self.me, to: $0) } }

    /// Whose messages are taken; nil: nobody's.
    package var incoming: Pair? { self.peer.map { Pair(from: $0, to: self.me) } }

    /// Whether the other end is owed an acknowledgement or owes us something, so that ``tick(now:)`` has a meaning.
    package var isWaiting: Bool { self.takenSince != nil || self.silentSince != nil }

    // MARK: The way

    /// A way to the other end is there: the router has announced it, with the epoch of its process.
    package mutating func pathUp(epoch: String, now: Int64) -> [Action] {
        var actions: [Action] = []
        if let peer = self.peer, peer.epoch != epoch { actions += self.begin(with: nil, now: now) }
        self.path = .unconfirmed
        self.silentSince = now
        self.hasToldGap = false
        actions.append(.sync(self.makeSync()))
        return actions
    }

    /// The way is gone. What is sent from here on waits for the next.
    package mutating func pathDown(now: Int64) {
        guard self.path != .down else { return }
        self.path = .down
        self.silentSince = self.isPristine && self.kept.isEmpty ? nil : (self.silentSince ?? now)
    }

    // MARK: Sending

    /// Keeps a message, which counts as so many bytes, until it is acknowledged; ``next()`` gives it when it is to be
    /// sent.
    package mutating func send(_ message: Message, bytes: Int, now: @autoclosure () -> Int64) -> [Action] {
        self.kept.append((message, bytes))
        self.keptBytes += bytes
        guard self.keptBytes <= self.limits.bytes else { return self.reset(now: now()) }
        if self.silentSince == nil { self.silentSince = now() }
        return []
    }

    /// Takes the next message that is to be sent, with its number in ``outgoing``; nil: none, or there is no way.
    package mutating func next() -> (message: Message, number: UInt64)? {
        guard self.path == .confirmed, self.sent < self.acknowledged + UInt64(self.kept.count) else { return nil }
        self.sent += 1
        self.exposed = max(self.exposed, self.sent)
        return (self.kept[Int(self.sent - self.acknowledged - 1)].message, self.sent)
    }

    /// The other end has taken all messages of ``outgoing`` up to the number.
    package mutating func acknowledged(_ number: UInt64, now: Int64) {
        guard number <= self.exposed else { return }
        self.forget(upTo: number, now: now)
    }

    private mutating func forget(upTo number: UInt64, now: Int64) {
        guard number > self.acknowledged else { return }
        for _ in self.acknowledged..<number {
            guard let first = self.kept.popFirst() else { break }
            self.keptBytes -= first.bytes
        }
        self.acknowledged = number
        self.sent = max(self.sent, number)
        self.silentSince = self.kept.isEmpty ? nil : now
    }

    // MARK: Receiving

    /// A message of ``incoming`` came, one that counts as so many bytes; those of any other pair are dropped.
    package mutating func received(_ number: UInt64, bytes: Int, now: @autoclosure () -> Int64) -> Reception {
        guard self.peer != nil, number > self.taken else { return .dropped }
        guard number == self.taken + 1 else {
            // Something in between took a message and lost it, without a word: all after it comes again.
            guard !self.hasToldGap, self.path != .down else { return .dropped }
            self.hasToldGap = true
            return .gap(self.makeSync(isGap: true))
        }
        self.taken = number
        self.takenBytes += bytes
        self.hasToldGap = false
        if self.takenSince == nil { self.takenSince = now() }
        return .taken
    }

    /// All that came together has been told: the number up to which the owner acknowledges the messages of
    /// ``incoming``; nil: not now.
    package mutating func burstEnded(now: Int64) -> UInt64? {
        guard let since = self.takenSince else { return nil }
        let isDue =
            self.taken - self.told >= self.limits.acknowledgeEvery
            || self.takenBytes >= self.limits.acknowledgeEveryBytes || now - since >= self.limits.acknowledgeAfter
        return isDue ? self.acknowledge() : nil
    }

    private mutating func acknowledge() -> UInt64? {
        self.takenSince = nil
        self.takenBytes = 0
        guard self.path != .down, self.told < self.taken else { return nil }
        self.told = self.taken
        return self.taken
    }

    // MARK: Who is there

    /// The other end said who it is and what it has.
    package mutating func received(_ sync: Sync, now: Int64) -> [Action] {
        guard self.path != .down, !self.isOutdated(sync.me) else { return [] }
        var actions: [Action] = []
        var isNews = sync.you != self.me
        if sync.me != self.peer {
            isNews = true
            actions += self.begin(with: sync.me, now: now)
        }
        if isNews { actions.append(.sync(self.makeSync())) }
        // What it says of somebody that we were, or are no longer, is about other messages.
        guard sync.you == self.me, sync.have <= self.exposed else { return actions }
        self.forget(upTo: sync.have, now: now)
        if self.path == .unconfirmed || sync.isGap { self.sent = self.acknowledged }
        self.path = .confirmed
        if self.kept.isEmpty { self.silentSince = nil }
        return actions
    }

    /// An incarnation that another one of the same start has followed: its word was on the way for long.
    private func isOutdated(_ incarnation: Incarnation) -> Bool {
        guard let peer, peer.epoch == incarnation.epoch else { return false }
        return incarnation.generation < peer.generation
    }

    /// Nothing is known of the other end, and it can know nothing of us.
    private var isPristine: Bool { self.peer == nil || (self.exposed == 0 && self.taken == 0) }

    /// Turns to another incarnation of the other end; one that had taken or may have taken something is forgotten.
    private mutating func begin(with incarnation: Incarnation?, now: Int64) -> [Action] {
        let wasKnown = self.peer != nil
        let lost = wasKnown ? self.kept.map(\.message) : []
        if !self.isPristine { self.me.generation += 1 }
        self.peer = incarnation
        self.pairChanges += 1
        if wasKnown {
            self.kept.removeAll()
            self.keptBytes = 0
        }
        self.acknowledged = 0
        self.sent = 0
        self.exposed = 0
        self.taken = 0
        self.told = 0
        self.takenSince = nil
        self.takenBytes = 0
        self.hasToldGap = false
        if self.path == .confirmed { self.path = .unconfirmed }
        self.silentSince = self.path == .down && self.kept.isEmpty ? nil : now
        return wasKnown ? [.restarted(lost: lost)] : []
    }

    /// The other end counts as restarted: it has been silent, or too much waits for it.
    private mutating func reset(now: Int64) -> [Action] {
        guard self.peer != nil else {
            // Nobody was ever there.
            let lost = self.kept.map(\.message)
            self.kept.removeAll()
            self.keptBytes = 0
            self.silentSince = nil
            return [.restarted(lost: lost)]
        }
        var actions = self.begin(with: nil, now: now)
        if self.path != .down { actions.append(.sync(self.makeSync())) }
        return actions
    }

    private func makeSync(isGap: Bool = false) -> Sync {
        Sync(me: self.me, you: self.peer, have: self.taken, isGap: isGap)
    }

    // MARK: Time

    /// This process stood still for so many milliseconds: they were not the other end's.
    package mutating func stoodStill(_ milliseconds: Int64) {
        if let since = self.silentSince { self.silentSince = since + milliseconds }
    }

    /// To be called every hundred milliseconds or so while ``isWaiting``; ``burstEnded(now:)`` after it.
    package mutating func tick(now: Int64) -> [Action] {
        guard let since = self.silentSince, now - since >= self.limits.silence else { return [] }
        return self.reset(now: now)
    }
}
