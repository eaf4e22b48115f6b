// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import XMPPCore

/// What SMs have handed over for other servers, by stable id: after an SM is gone, the next owner of the sender hands over
/// again what was not settled, and the other server must not get it twice. A pure value.
///
/// Of a stanza that is under way the newest ticket is told what becomes of it; one that was settled in the last minutes is
/// settled again at once. Presence and what no client counts never comes again, and is not remembered. At the bound the
/// oldest ones that are settled are forgotten first.
struct HandedOver {
    /// What is to be done with a stanza that was handed over.
    enum Verdict: Equatable {
        /// It is to be sent, with this ticket.
        case new
        /// It waits for its link: who asks hears of it.
        case waits
        /// Its bytes were about to go to a socket: who asks hears of it.
        case isOnTheWire
        /// The other server has it.
        case isSettled
    }

    /// One stanza may go to several addresses.
    private struct Key: Hashable {
        let id: String
        let to: JID?
    }

    /// The links know it by the ticket that came first.
    private struct Entry {
        var newest: ForwardOrigin
        var isOnTheWire = false
    }

    private let maximumSettled: Int
    private let microseconds: Int64
    private var underWay: [Key: Entry] = [:]
    private var keys: [ForwardOrigin: Key] = [:]
    private var settled: Set<Key> = []
    private var order: Deque<(key: Key, at: Int64)> = []

    /// Makes an empty one that remembers so many settled stanzas, for so long.
    init(maximumSettled: Int = 100_000, microseconds: Int64 = 120_000_000) {
        self.maximumSettled = maximumSettled
        self.microseconds = microseconds
    }

    /// Takes note of a stanza; `ticket` is its newest one from now on.
    mutating func received(_ forwarded: SessionMessage.Forwarded, ticket: ForwardOrigin) -> Verdict {
        guard forwarded.isCounted, forwarded.stanza.kind != .presence, !forwarded.id.isEmpty else { return .new }
        let key = Key(id: forwarded.id, to: forwarded.stanza.to)
        if let entry = self.underWay[key] {
            self.underWay[key]?.newest = ticket
            return entry.isOnTheWire ? .isOnTheWire : .waits
        }
        guard !self.settled.contains(key) else { return .isSettled }
        self.underWay[key] = Entry(newest: ticket)
        self.keys[ticket] = key
        return .new
    }

    /// Who is told what becomes of a stanza.
    func newest(_ ticket: ForwardOrigin) -> ForwardOrigin {
        self.keys[ticket].flatMap { self.underWay[$0]?.newest } ?? ticket
    }

    /// It is about to be written to a socket; gives the ticket that is told.
    mutating func sent(_ ticket: ForwardOrigin) -> ForwardOrigin {
        guard let key = self.keys[ticket] else { return ticket }
        self.underWay[key]?.isOnTheWire = true
        return self.underWay[key]?.newest ?? ticket
    }

    /// The other server has it; gives the ticket that is told.
    mutating func settled(_ ticket: ForwardOrigin, now: Int64) -> ForwardOrigin {
        guard let (key, newest) = self.end(ticket) else { return ticket }
        if self.settled.insert(key).inserted { self.order.append((key, now)) }
        while let oldest = self.order.first,
            self.order.count > self.maximumSettled || now - oldest.at > self.microseconds
        {
            self.order.removeFirst()
            self.settled.remove(oldest.key)
        }
        return newest
    }

    /// It will not be sent: should it be handed over again, that is another try. Gives the ticket that is told.
    mutating func failed(_ ticket: ForwardOrigin) -> ForwardOrigin { self.end(ticket)?.newest ?? ticket }

    private mutating func end(_ ticket: ForwardOrigin) -> (key: Key, newest: ForwardOrigin)? {
        guard let key = self.keys.removeValue(forKey: ticket) else { return nil }
        return (key, self.underWay.removeValue(forKey: key)?.newest ?? ticket)
    }
}
