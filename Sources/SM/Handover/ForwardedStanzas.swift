// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import XMPPCore

/// Where a stanza came from that another SM forwarded: what it is settled by.
struct ForwardOrigin: Hashable {
    let instance: String
    let token: UInt64
}

/// Stanzas for users of other SMs, until those have settled them, and what is to be said to those about theirs.
///
/// Each has a token, in the order in which they were forwarded. One whose owner changes, or is another process than
/// before, is forwarded again.
struct ForwardedStanzas {
    private struct Entry {
        let passage: Passage
        var owner: String
        var isSent = false
        let size: Int

        var user: BareJID? { passage.stanza.to?.bare }
    }

    /// What waits for other SMs; beyond it senders are told to wait.
    private static let maximumCount = 100_000
    private static let maximumBytes = 64 << 20

    private var entries: [UInt64: Entry] = [:]
    /// The tokens that are to be sent, in order, with holes.
    private var unsent: Deque<UInt64> = []
    private var last: UInt64 = 0
    private(set) var bytes = 0
    /// What is settled and not reported, by the instance that forwarded it.
    private var due: [String: [UInt64]] = [:]

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// Those that are not settled, with the instances that they are for.
    var all: some Sequence<(passage: Passage, owner: String)> {
        entries.values.lazy.map { (passage: $0.passage, owner: $0.owner) }
    }

    /// False at the bound.
    mutating func add(_ passage: Passage, for owner: String) -> Bool {
        let size = passage.stanza.encodedSize + 256
        guard entries.count < Self.maximumCount, bytes + size <= Self.maximumBytes else { return false }
        last += 1
        entries[last] = Entry(passage: passage, owner: owner, size: size)
        bytes += size
        unsent.append(last)
        return true
    }

    /// The next one that is to be sent and can be: to an instance that is there.
    mutating func next(_ isThere: (String) -> Bool) -> (token: UInt64, passage: Passage, owner: String)? {
        var skipped: [UInt64] = []
        defer { unsent.prepend(contentsOf: skipped) }
        while let token = unsent.popFirst() {
            guard let entry = entries[token], !entry.isSent else { continue }
            guard isThere(entry.owner) else {
                skipped.append(token)
                continue
            }
            entries[token]?.isSent = true
            return (token, entry.passage, entry.owner)
        }
        return nil
    }

    /// It is settled, or answered; nil if it is not that instance's.
    mutating func take(_ token: UInt64, by instance: String) -> Passage? {
        guard let entry = entries[token], entry.owner == instance else { return nil }
        entries[token] = nil
        bytes -= entry.size
        return entry.passage
    }

    /// Those that are for somebody else now are sent again, in order.
    mutating func mapChanged(to map: OwnershipMap) {
        sendAgain { entry in entry.user.map(map.owner) != entry.owner }
        for token in unsent {
            guard let owner = entries[token]?.user.flatMap(map.owner) else { continue }
            entries[token]?.owner = owner
        }
    }

    /// The instance is gone, or another process than before: what it had of ours is sent again.
    mutating func lost(_ instance: String) {
        sendAgain { $0.owner == instance && $0.isSent }
        due[instance] = nil
    }

    private mutating func sendAgain(_ isConcerned: (Entry) -> Bool) {
        let tokens = entries.filter { isConcerned($0.value) }.map(\.key)
        guard !tokens.isEmpty else { return }
        for token in tokens { entries[token]?.isSent = false }
        unsent = Deque(Set(unsent).union(tokens).sorted())
    }

    /// A stanza of another SM's is settled.
    mutating func settled(_ origin: ForwardOrigin) {
        due[origin.instance, default: []].append(origin.token)
    }

    mutating func takeDue() -> [String: [UInt64]] {
        guard !due.isEmpty else { return [:] }
        defer { due = [:] }
        return due
    }

    mutating func removeAll() {
        let last = self.last
        self = ForwardedStanzas()
        self.last = last
    }
}
