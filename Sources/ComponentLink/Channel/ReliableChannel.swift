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
/// Each router that leads to the other end is a ``Way``. One of them is used, as long as it is there and acknowledgements
/// come, so that order is that of one link and a burst stays together. Else the channel *asks* over all ways, and goes
/// on over the one that is answered first, from the first message that the answer does not `have`.
///
/// ```
///   pathUp ----> sync(me, you?, have, ask) ---> <--- sync(me, you, have): it knows me: confirmed
///      next ----> messages have+1 ...   --->
///                                      <--- acknowledgement
///   pathDown, or nothing acknowledged: asks over the other ways. Without any, what follows waits for the next pathUp.
/// ```
///
/// A pure value: no I/O, and time is told to it. `Message` is what its owner sends: bytes, or a number in a simulation.
package struct ReliableChannel<Message> {
    /// A link to a router that has announced the other end, as the owner numbers its links.
    package typealias Way = Int

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
        /// The number of the question, where it is one: it is answered over the way that it came by, and a later one than
        /// any before moves the other end to that way. Nil: it is none.
        package var ask: UInt64?
        /// The number of the question that it answers, where it does.
        package var answers: UInt64?

        package init(
            me: Incarnation,
            you: Incarnation?,
            have: UInt64,
            isGap: Bool = false,
            ask: UInt64? = nil,
            answers: UInt64? = nil
        ) {
            self.me = me
            self.you = you
            self.have = have
            self.isGap = isGap
            self.ask = ask
            self.answers = answers
        }
    }

    /// What the owner does, in this order; after it, it sends what ``next()`` gives.
    package enum Action {
        /// Sends a sync over a way.
        case sync(Sync, over: Way)
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

    /// Those before a message that came are missing, and the other end was told.
    private struct Gap {
        /// The message that showed it.
        var end: UInt64
        /// What was taken when the other end was told, and when that was.
        var have: UInt64
        var toldAt: Int64
    }

    /// Who this end is.
    package private(set) var me: Incarnation
    /// Who the other end is, as far as it is known.
    package private(set) var peer: Incarnation?
    /// Raised whenever `me` or `peer` changes.
    package private(set) var pairChanges = 0
    private let limits: ChannelLimits

    /// The ways there are, in the order in which they were found, and the epoch of who is at their end.
    private var ways: [Way] = []
    private var epoch: String?
    /// What is said goes over it; nil: there is no way.
    package private(set) var way: Way?
    /// The other end has said, over `way`, that it knows who we are.
    package private(set) var isConfirmed = false
    /// The last question, and when it was asked.
    private var asked: UInt64 = 0
    private var askedAt: Int64 = 0
    /// The last question of the other end.
    private var heardAsk: UInt64 = 0
    /// Nothing is taken until this question, or a later one, is answered.
    private var doubtedAsk: UInt64?

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
    private var gap: Gap?
    /// Since when the other end has owed us something.
    private var silentSince: Int64?

    /// Makes the end of a process with this epoch; it knows nobody.
    package init(epoch: String, limits: ChannelLimits = ChannelLimits()) {
        self.me = Incarnation(epoch: epoch, generation: 0)
        self.limits = limits
    }

    /// Nothing was ever said, or nothing that either end has to remember.
    package var isUnused: Bool { self.isPristine && self.kept.isEmpty }

    /// Whose messages go out; nil: nobody is known.
    package var outgoing: Pair? { self.peer.map { Pair(from: self.me, to: $0) } }

    /// Whose messages are taken; nil: nobody's.
    package var incoming: Pair? { self.peer.map { Pair(from: $0, to: self.me) } }

    /// Whether the other end is owed an acknowledgement or owes us something, so that ``tick(now:)`` has a meaning.
    package var isWaiting: Bool { self.takenSince != nil || self.silentSince != nil || self.gap != nil }

    // MARK: The ways

    /// A way to the other end is there: a router has announced it, with the epoch of its process. Another epoch than
    /// before is a later one (`Sightings`): the ways to the former are none any more.
    package mutating func pathUp(_ way: Way, epoch: String, now: Int64) -> [Action] {
        var actions: [Action] = []
        if self.epoch != epoch {
            self.epoch = epoch
            self.ways.removeAll()
            self.way = nil
            self.isConfirmed = false
        }
        if let peer, peer.epoch != epoch { actions += self.begin(with: nil, now: now) }
        guard !self.ways.contains(way) else { return actions }
        self.ways.append(way)
        if self.way == nil {
            self.way = way
            self.silentSince = now
            actions += self.ask(now: now)
        } else if !self.isConfirmed {
            actions.append(.sync(self.makeSync(ask: self.asked), over: way))
        }
        return actions
    }

    /// A way is gone. What is sent from here on goes over another one that answers, or waits for the next.
    package mutating func pathDown(_ way: Way, now: Int64) -> [Action] {
        guard let index = self.ways.firstIndex(of: way) else { return [] }
        self.ways.remove(at: index)
        guard self.way == way else { return [] }
        self.way = self.ways.first
        self.isConfirmed = false
        guard self.ways.isEmpty else {
            self.silentSince = self.silentSince ?? now
            return self.ask(now: now)
        }
        self.gap = nil
        self.silentSince = self.isPristine && self.kept.isEmpty ? nil : (self.silentSince ?? now)
        return []
    }

    /// Asks over all ways; the first that is answered is the one.
    private mutating func ask(now: Int64) -> [Action] {
        self.isConfirmed = false
        self.asked += 1
        self.askedAt = now
        let sync = self.makeSync(ask: self.asked)
        return self.ways.map { .sync(sync, over: $0) }
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
        guard self.isConfirmed, self.sent < self.acknowledged + UInt64(self.kept.count) else { return nil }
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
        self.silentSince = self.kept.isEmpty && self.doubtedAsk == nil ? nil : now
    }

    // MARK: Receiving

    /// A message of ``incoming`` came, one that counts as so many bytes; those of any other pair are dropped.
    package mutating func received(_ number: UInt64, bytes: Int, now: @autoclosure () -> Int64) -> Reception {
        guard self.peer != nil, self.doubtedAsk == nil, number > self.taken else { return .dropped }
        guard number == self.taken + 1 else {
            // Something in between took a message and lost it, or it came another way than those before it: all after
            // what was taken comes again, and until it has there is no more to say.
            guard self.gap == nil, self.way != nil else { return .dropped }
            self.gap = Gap(end: number, have: self.taken, toldAt: now())
            return .gap(self.makeSync(isGap: true))
        }
        self.taken = number
        self.takenBytes += bytes
        if let gap, number >= gap.end { self.gap = nil }
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
        guard self.way != nil, self.told < self.taken else { return nil }
        self.told = self.taken
        return self.taken
    }

    // MARK: Who is there

    /// The other end said, over a way, who it is and what it has.
    package mutating func received(_ sync: Sync, over way: Way, now: Int64) -> [Action] {
        guard self.ways.contains(way), !self.isOutdated(sync.me) else { return [] }
        var actions: [Action] = []
        var isNews = sync.you != self.me
        if sync.me != self.peer {
            isNews = true
            actions += self.begin(with: sync.me, now: now)
        }
        if isNews || sync.ask != nil { actions.append(.sync(self.makeSync(answers: sync.ask), over: way)) }
        let isLater = sync.ask.map { $0 > self.heardAsk } ?? false
        self.heardAsk = max(self.heardAsk, sync.ask ?? 0)
        // What it says of somebody that we were, or are no longer, is about other messages.
        guard sync.you == self.me, sync.have <= self.exposed else { return actions }
        if let doubtedAsk, let answered = sync.answers, answered >= doubtedAsk { self.doubtedAsk = nil }
        self.forget(upTo: sync.have, now: now)
        if !self.isConfirmed || (isLater && self.way != way) {
            self.way = way
            self.isConfirmed = true
            self.sent = self.acknowledged
        } else if sync.isGap {
            self.sent = self.acknowledged
        }
        if self.kept.isEmpty, self.doubtedAsk == nil { self.silentSince = nil }
        return actions
    }

    /// An incarnation that another one has followed: its word was on the way for long.
    private func isOutdated(_ incarnation: Incarnation) -> Bool {
        guard incarnation.epoch == self.epoch else { return true }
        return incarnation.generation < self.peer?.generation ?? 0
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
        self.gap = nil
        self.heardAsk = 0
        self.doubtedAsk = nil
        self.isConfirmed = false
        self.silentSince = self.way == nil && self.kept.isEmpty ? nil : now
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
        return self.begin(with: nil, now: now) + self.ask(now: now)
    }

    private func makeSync(ask: UInt64? = nil, answers: UInt64? = nil, isGap: Bool = false) -> Sync {
        // What is in doubt is dropped, and has to come again.
        Sync(
            me: self.me,
            you: self.peer,
            have: self.taken,
            isGap: isGap || self.doubtedAsk != nil,
            ask: ask,
            answers: answers
        )
    }

    // MARK: Time

    /// This process stood still for so many milliseconds: they were not the other end's.
    package mutating func stoodStill(_ milliseconds: Int64) {
        if let since = self.silentSince { self.silentSince = since + milliseconds }
        self.askedAt += milliseconds
    }

    /// This process stood still for so long that the other end may have given it up. What was on the way meanwhile must
    /// not be taken then: somebody else may have got it since, and more. So nothing is taken until the other end has
    /// answered that it still means us; what was dropped comes again.
    package mutating func doubt(now: Int64) -> [Action] {
        guard self.peer != nil else { return [] }
        self.gap = nil
        self.doubtedAsk = self.asked + 1
        if self.silentSince == nil { self.silentSince = now }
        return self.ask(now: now)
    }

    /// To be called every hundred milliseconds or so while ``isWaiting``; ``burstEnded(now:)`` after it.
    package mutating func tick(now: Int64) -> [Action] {
        if let since = self.silentSince {
            if now - since >= self.limits.silence { return self.reset(now: now) }
            // The router may stand still, or what it was given be lost. With one way there is nothing to choose.
            let isStuck =
                self.ways.count > 1 || (self.way != nil && !self.isConfirmed) || self.doubtedAsk != nil
            if isStuck, now - max(since, self.askedAt) >= self.limits.patience { return self.ask(now: now) }
        }
        return self.tellGap(now: now)
    }

    /// A gap that nothing came to fill is told again.
    private mutating func tellGap(now: Int64) -> [Action] {
        guard let gap, let way, now - gap.toldAt >= self.limits.gapAgain else { return [] }
        self.gap?.toldAt = now
        self.gap?.have = self.taken
        return gap.have == self.taken ? [.sync(self.makeSync(isGap: true), over: way)] : []
    }
}
