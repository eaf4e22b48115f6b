// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore

/// When to join, to look, to publish a map, and whom to evict. No I/O: events in, actions out, time is told.
///
/// ```
///            join                    joined
///   away ──────────▶ joining ───────────────────▶ member ── beats, looks, evicts
///    ▲                 │ ▲ failed: later again        │
///    │                 │ └──────────┘                 │ a look shows that we are no member any more
///    ├─────────────────│────────────────────────────── ┘
///    │                 │ leave                        │ leave
///    └──── left ──── leaving ◀────────────────────────┘
/// ```
///
/// Maps are published in the order of their epochs and without a gap: where one was missed (that is, a thousand of
/// them) we count as evicted, since a user may have been somebody else's meanwhile.
struct OwnershipStateMachine {
    /// How often and how long; the values that all instances use are the defaults.
    struct Timing {
        var interval = TimeAmount.seconds(1)
        var patience = TimeAmount.seconds(5)
        var longestGap = TimeAmount.seconds(3)
        var firstRetry = TimeAmount.milliseconds(250)
        var longestRetry = TimeAmount.seconds(2)
    }

    enum Action: Equatable {
        case join(known: UInt64)
        case leave
        /// Answers carry the term, so that one from before an eviction is known.
        case beat(known: UInt64, term: Int)
        case evict([OwnershipPeer], term: Int)
        /// Call ``wokeUp(now:)`` then, and not at an earlier wish.
        case wakeUp(at: NIODeadline)
        case publish(OwnershipMap)
        /// We are no member any more.
        case reportEviction(Reason)
        /// The first map of this membership was published.
        case finishJoin
    }

    enum Reason: Equatable, CustomStringConvertible {
        /// Our row is gone, or another incarnation's.
        case removed
        /// More changed since the last look than the database remembers.
        case missedMaps
        /// The database is older than what we have seen: it was restored.
        case olderDatabase

        var description: String {
            switch self {
            case .removed: "others took this instance for gone, or it was started again"
            case .missedMaps: "too much changed since the last look"
            case .olderDatabase: "the database is older than it was"
            }
        }
    }

    private enum State {
        case away
        /// `isAsking`: the database was asked; else the time of the next attempt is waited for.
        case joining(isAsking: Bool, delay: TimeAmount)
        case member(Membership)
        case leaving
    }

    private struct Membership {
        var watch: PeerWatch
        /// When the beat that is under way was sent.
        var beating: NIODeadline?
        /// Somebody wants a look that began later than the one under way.
        var looksAgain = false
        var isEvicting = false
    }

    private let name: String
    private let timing: Timing
    private var state = State.away
    private var term = 0
    /// The newest epoch that was published.
    private(set) var known: UInt64 = 0

    init(name: String, timing: Timing = Timing()) {
        self.name = name
        self.timing = timing
    }

    var isMember: Bool {
        if case .member = state { true } else { false }
    }

    // MARK: Joining and leaving

    mutating func join() -> [Action] {
        guard case .away = state else { return [] }
        state = .joining(isAsking: true, delay: timing.firstRetry)
        return [.join(known: known)]
    }

    mutating func joined(_ map: OwnershipMap, now: NIODeadline) -> [Action] {
        guard case .joining = state else { return [] }
        guard map.epoch > known, map.contains(name) else { return joinFailed(now: now) }
        term += 1
        known = map.epoch
        state = .member(
            Membership(watch: PeerWatch(patience: timing.patience, longestGap: timing.longestGap))
        )
        return [.publish(map), .finishJoin, .wakeUp(at: now + timing.interval)]
    }

    mutating func joinFailed(now: NIODeadline) -> [Action] {
        guard case .joining(_, let delay) = state else { return [] }
        state = .joining(isAsking: false, delay: min(delay * 2, timing.longestRetry))
        return [.wakeUp(at: now + delay)]
    }

    mutating func leave() -> [Action] {
        switch state {
        case .away, .leaving: return []
        case .joining, .member:
            // A join that is under way is done before it: the database is asked in order.
            state = .leaving
            term += 1
            return [.leave]
        }
    }

    /// Whether it worked or not: if not, the others will find out.
    mutating func left() {
        if case .leaving = state { state = .away }
    }

    // MARK: Looking

    mutating func wokeUp(now: NIODeadline) -> [Action] {
        switch state {
        case .away, .leaving: return []
        case .joining(let isAsking, let delay):
            guard !isAsking else { return [] }
            state = .joining(isAsking: true, delay: delay)
            return [.join(known: known)]
        case .member: return look(now: now)
        }
    }

    /// Looks now, or as soon as the look that is under way is over.
    mutating func look(now: NIODeadline) -> [Action] {
        guard case .member(var membership) = state else { return [] }
        defer { state = .member(membership) }
        guard membership.beating == nil else {
            membership.looksAgain = true
            return []
        }
        membership.beating = now
        membership.looksAgain = false
        return [.beat(known: known, term: term), .wakeUp(at: now + timing.interval)]
    }

    mutating func beatFailed(term: Int, now: NIODeadline) -> [Action] {
        guard case .member(var membership) = state, term == self.term else { return [] }
        membership.beating = nil
        state = .member(membership)
        return membership.looksAgain ? look(now: now) : []
    }

    mutating func beatAnswered(_ reading: OwnershipReading, term: Int, now: NIODeadline) -> [Action] {
        guard case .member(var membership) = state, term == self.term, let sent = membership.beating else { return [] }
        guard reading.isMember else { return evicted(.removed) }
        guard reading.epoch >= known else { return evicted(.olderDatabase) }
        guard let maps = successors(reading.maps) else { return evicted(.missedMaps) }
        known = maps.last?.epoch ?? known
        membership.beating = nil
        let still = membership.watch.read(reading.peers, sent: sent, arrived: now).filter { $0.name != name }
        let evicts = !still.isEmpty && !membership.isEvicting
        membership.isEvicting = membership.isEvicting || evicts
        state = .member(membership)
        return maps.map { .publish($0) } + (evicts ? [.evict(still, term: term)] : [])
            + (membership.looksAgain ? look(now: now) : [])
    }

    /// The maps that follow the one that was published last; nil if one is missing.
    private func successors(_ maps: [OwnershipMap]) -> [OwnershipMap]? {
        var last = known
        for map in maps {
            guard map.epoch == last + 1, map.contains(name) else { return nil }
            last = map.epoch
        }
        return maps
    }

    private mutating func evicted(_ reason: Reason) -> [Action] {
        state = .away
        term += 1
        return [.reportEviction(reason)]
    }

    /// Whoever was evicted, or not: a look shows it.
    mutating func evictionEnded(term: Int, now: NIODeadline) -> [Action] {
        guard case .member(var membership) = state, term == self.term else { return [] }
        membership.isEvicting = false
        state = .member(membership)
        return look(now: now)
    }
}
