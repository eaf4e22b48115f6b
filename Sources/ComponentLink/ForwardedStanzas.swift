// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import XMPPCore

/// Where a stanza came from that another process forwarded: what it is settled by.
package struct ForwardOrigin: Hashable, Sendable {
    /// The name of the process on the router.
    package let instance: String
    /// The number that it gave the stanza.
    package let token: UInt64

    /// Makes one.
    package init(instance: String, token: UInt64) {
        self.instance = instance
        self.token = token
    }
}

/// Whom a forwarded stanza is for, which says which process gets it.
package enum ForwardTarget: Hashable, Sendable {
    /// A user of ours, whom an SM owns.
    case user(BareJID)
    /// Another server, to which an S2S has the link for this pair of domains.
    case federation(FederationPair)
}

/// A domain of ours and one of another server's: each pair is some S2S's.
package struct FederationPair: Hashable, Sendable {
    /// Ours, prepared.
    package let local: String
    /// The other server's, prepared.
    package let remote: String

    /// Makes one.
    package init(local: String, remote: String) {
        self.local = local
        self.remote = remote
    }

    /// What the S2S of the pair is found by, among all that are there: the same in every process.
    package var key: OwnershipKey { OwnershipKey("\(self.local) \(self.remote)".utf8) }
}

/// Stanzas that other processes have been handed, until those have settled them (`docs/protocols.md`, section 5), and
/// what is to be said to those about theirs. A pure value.
///
/// Each has a token, in the order in which they were forwarded. One for a user whose owner changes, or is another process
/// than before, is forwarded again. One for another server is forwarded again when its S2S is gone, unless that had begun
/// to send it: of that one nobody knows whether it arrived, and the operator says what is done.
package struct ForwardedStanzas<Item> {
    private struct Entry {
        let item: Item
        let target: ForwardTarget
        var owner: String
        var isSent = false
        /// The S2S has told that it is on its way to the other server.
        var isOnTheWire = false
        /// It waits until another S2S has settled what it has of the pair.
        var isHeld = false
        let size: Int
    }

    /// What waits for other processes; beyond it senders are told to wait.
    private let maximumCount: Int
    private let maximumBytes: Int

    private var entries: [UInt64: Entry] = [:]
    /// The tokens that are to be sent, in order, by the process that they are for: what waits for one that is away costs
    /// the others nothing. Some may be answered meanwhile.
    private var unsent: [String: Deque<UInt64>] = [:]
    private var last: UInt64
    /// The map in force.
    private var map = OwnershipMap.none
    /// What all of them count.
    package private(set) var bytes = 0
    /// What is settled and not reported, by the instance that forwarded it.
    private var due: [String: [UInt64]] = [:]
    /// The S2S that has stanzas of a pair, and how many: what follows goes the same way, so that order holds.
    private var pinned: [FederationPair: Pin] = [:]
    /// What waits for the end of a pin, in order.
    private var held: [FederationPair: Deque<UInt64>] = [:]

    private struct Pin {
        let instance: String
        var count: Int
        /// Nothing is held for the end of it any more: it lasted too long.
        var isStuck = false
    }

    /// Makes an empty one with its bounds, whose tokens come after the given number.
    ///
    /// Other processes settle by instance and token, maybe minutes later: who is restarted must not use a token again, so
    /// a process gives the time of its start in microseconds.
    package init(after number: UInt64 = 0, maximumCount: Int = 100_000, maximumBytes: Int = 64 << 20) {
        self.last = number
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    package var count: Int { self.entries.count }
    package var isEmpty: Bool { self.entries.isEmpty }

    /// Those that are not settled, with the instances that they are for.
    package var all: some Sequence<(item: Item, owner: String)> {
        self.entries.values.lazy.map { (item: $0.item, owner: $0.owner) }
    }

    /// The S2S that has stanzas of the pair under way.
    package func instance(pinnedFor pair: FederationPair) -> String? { self.pinned[pair]?.instance }

    /// Takes a stanza of about so many bytes; nil at the bound, else its token.
    package mutating func add(_ item: Item, size: Int, for target: ForwardTarget, to owner: String) -> UInt64? {
        guard let token = self.keep(item, size: size, for: target, to: owner) else { return nil }
        self.unsent[owner, default: []].append(token)
        self.pin(target, to: owner)
        return token
    }

    private mutating func keep(_ item: Item, size: Int, for target: ForwardTarget, to owner: String) -> UInt64? {
        guard self.entries.count < self.maximumCount, self.bytes + size <= self.maximumBytes else { return nil }
        self.last += 1
        self.entries[self.last] = Entry(item: item, target: target, owner: owner, size: size)
        self.bytes += size
        return self.last
    }

    private mutating func pin(_ target: ForwardTarget, to owner: String) {
        guard case .federation(let pair) = target else { return }
        if self.pinned[pair]?.instance != owner {
            self.pinned[pair] = Pin(instance: owner, count: self.pinned[pair]?.count ?? 0)
        }
        self.pinned[pair]?.count += 1
    }

    private mutating func unpin(_ target: ForwardTarget) {
        guard case .federation(let pair) = target, let count = self.pinned[pair]?.count else { return }
        self.pinned[pair]?.count = count - 1
        guard count <= 1 else { return }
        self.pinned[pair] = nil
        self.release(pair)
    }

    // MARK: - From one S2S to another

    /// Takes a stanza for another server whose S2S is not the one that has stanzas of the pair under way: it waits until
    /// those are settled. So all SMs come to the same S2S for a pair, also where one of them always has something under
    /// way. Nil at the bound, else its token.
    package mutating func hold(_ item: Item, size: Int, for pair: FederationPair, to owner: String) -> UInt64? {
        guard let token = self.keep(item, size: size, for: .federation(pair), to: owner) else { return nil }
        self.entries[token]?.isHeld = true
        self.held[pair, default: []].append(token)
        return token
    }

    /// Whether stanzas of the pair may wait for the end of what is under way.
    package func mayHold(_ pair: FederationPair) -> Bool { self.pinned[pair]?.isStuck == false }

    /// What has waited for long goes after what it waits for: maybe the other server is away.
    package mutating func endHolds() {
        for pair in Array(self.held.keys) {
            self.pinned[pair]?.isStuck = true
            self.release(pair)
        }
    }

    private mutating func release(_ pair: FederationPair) {
        let instance = self.pinned[pair]?.instance
        for token in self.held.removeValue(forKey: pair) ?? [] {
            guard let entry = self.entries[token] else { continue }
            let owner = instance ?? entry.owner
            self.entries[token]?.isHeld = false
            self.entries[token]?.owner = owner
            self.unsent[owner, default: []].append(token)
            self.pin(entry.target, to: owner)
        }
    }

    /// The next one that is to be sent and can be: to an instance that is there.
    package mutating func next(_ isThere: (String) -> Bool) -> (token: UInt64, item: Item, owner: String)? {
        while let (token, owner) = self.first(isThere) {
            self.unsent[owner]?.removeFirst()
            guard let entry = self.entries[token], entry.owner == owner, !entry.isSent else { continue }
            self.entries[token]?.isSent = true
            return (token, entry.item, owner)
        }
        return nil
    }

    private func first(_ isThere: (String) -> Bool) -> (token: UInt64, owner: String)? {
        var first: (token: UInt64, owner: String)?
        for (owner, tokens) in self.unsent {
            guard let token = tokens.first, token < first?.token ?? .max, isThere(owner) else { continue }
            first = (token, owner)
        }
        return first
    }

    /// It is settled, or answered; nil if it is not that instance's.
    package mutating func take(_ token: UInt64, by instance: String) -> Item? {
        guard let entry = self.entries[token], entry.owner == instance else { return nil }
        return self.remove(token, entry)
    }

    private mutating func remove(_ token: UInt64, _ entry: Entry) -> Item {
        self.entries[token] = nil
        self.bytes -= entry.size
        if !entry.isHeld { self.unpin(entry.target) }
        return entry.item
    }

    /// Its S2S is about to write it to a socket.
    package mutating func onTheWire(_ token: UInt64, by instance: String) {
        guard self.entries[token]?.owner == instance else { return }
        self.entries[token]?.isOnTheWire = true
    }

    /// Those for users who are somebody else's now are sent again, in order. So are all where a map was missed: an owner
    /// that was none under that one takes nothing of what it was sent before.
    package mutating func mapChanged(to map: OwnershipMap) {
        // A single owner does not expect that anything comes twice, and was never evicted.
        let isMissingOne = self.map.instances.count > 1 && map.epoch > self.map.epoch + 1
        self.map = map
        let moved = self.tokens { entry in
            guard case .user(let user) = entry.target else { return false }
            return isMissingOne || map.owner(of: user) != entry.owner
        }
        for token in moved {
            guard case .user(let user)? = self.entries[token]?.target else { continue }
            self.entries[token]?.isSent = false
            if let owner = map.owner(of: user) { self.entries[token]?.owner = owner }
        }
        self.queueAgain()
    }

    /// The instance is gone, or another process than before: what it had of ours is sent again, in order. Of what an S2S
    /// had begun to send nobody knows what became: it is given back and kept no longer, or sent again as well.
    package mutating func lost(_ instance: String, sendsDoubtfulAgain: Bool = false) -> [Item] {
        self.due[instance] = nil
        var doubtful: [Item] = []
        for token in self.tokens({ $0.owner == instance && $0.isSent }) {
            guard let entry = self.entries[token] else { continue }
            if entry.isOnTheWire, !sendsDoubtfulAgain {
                doubtful.append(self.remove(token, entry))
            } else {
                self.entries[token]?.isSent = false
                self.entries[token]?.isOnTheWire = false
            }
        }
        self.queueAgain()
        return doubtful
    }

    /// Another set of S2S instances is there: what waits for one that is gone goes to another. Gives what nobody can send,
    /// where there is none.
    package mutating func federationChanged(_ instances: OwnershipMap) -> [Item] {
        var orphans: [Item] = []
        self.pinned = self.pinned.filter { instances.contains($0.value.instance) }
        let ended = self.held.filter { self.pinned[$0.key] == nil }
        for pair in ended.keys { self.held[pair] = nil }
        let freed = Set(ended.values.joined())
        for token in freed { self.entries[token]?.isHeld = false }
        for (pair, tokens) in self.held {
            guard let owner = instances.owner(of: pair.key) else { continue }
            for token in tokens { self.entries[token]?.owner = owner }
            // Nothing may overtake them there.
            if self.pinned[pair]?.instance == owner { self.release(pair) }
        }
        let lost = self.tokens { !$0.isSent && !$0.isHeld && !instances.contains($0.owner) }
        for token in freed.union(lost).sorted() {
            guard let entry = self.entries[token], case .federation(let pair) = entry.target else { continue }
            guard let owner = self.pinned[pair]?.instance ?? instances.owner(of: pair.key) else {
                orphans.append(self.remove(token, entry))
                continue
            }
            self.entries[token]?.owner = owner
            self.pin(entry.target, to: owner)
        }
        self.queueAgain()
        return orphans
    }

    /// Those for other servers that no process has, in order; they are kept no longer.
    package mutating func takeWaitingForFederation() -> [Item] {
        let waiting = self.tokens { entry in
            if case .federation = entry.target { !entry.isSent } else { false }
        }
        return waiting.compactMap { token in self.entries[token].map { self.remove(token, $0) } }
    }

    /// The tokens of some, in order.
    private func tokens(_ isConcerned: (Entry) -> Bool) -> [UInt64] {
        self.entries.filter { isConcerned($0.value) }.map(\.key).sorted()
    }

    /// The queues, anew from what is to be sent.
    private mutating func queueAgain() {
        self.unsent = [:]
        for token in self.tokens({ !$0.isSent && !$0.isHeld }) {
            if let owner = self.entries[token]?.owner { self.unsent[owner, default: []].append(token) }
        }
    }

    /// A stanza of another process's is settled.
    package mutating func settled(_ origin: ForwardOrigin) {
        self.due[origin.instance, default: []].append(origin.token)
    }

    /// What is to be reported, by instance; it counts as reported.
    package mutating func takeDue() -> [String: [UInt64]] {
        guard !self.due.isEmpty else { return [:] }
        defer { self.due = [:] }
        return self.due
    }

    /// Forgets what is not meant, and what is to be reported, but no number, none of which is used again.
    package mutating func keepAlone(where isMeant: (Item, ForwardTarget) -> Bool) {
        for token in self.tokens({ !isMeant($0.item, $0.target) }) {
            if let entry = self.entries[token] { _ = self.remove(token, entry) }
        }
        self.due = [:]
        self.queueAgain()
    }
}
