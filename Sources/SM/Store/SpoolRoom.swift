// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// How many messages each user's spool takes before its rows have to be counted again.
///
/// Counting costs as much as the spool is long; it is done for a user's first messages, and from then on only when the
/// room that it found is used up. Deleting makes more room than is known here, never less. What another process
/// stores meanwhile is not known: a quota is exceeded by that much at most.
///
/// A value without I/O: ``take(_:quota:)`` when a message is sent to the database, ``answered(_:_:quota:)`` when its
/// answer is there. Answers of one user come in the order of the messages.
struct SpoolRoom {
    private struct Entry {
        var quota: Int
        /// Messages that are known to fit; 0 while it has to be counted.
        var room = 0
        /// Messages without an answer.
        var underWay = 0
    }

    private let maximumUsers: Int
    private var entries: [BareJID: Entry] = [:]

    init(maximumUsers: Int = 50_000) {
        self.maximumUsers = maximumUsers
    }

    /// Takes the place of one message; false if the spool has to be counted for it.
    mutating func take(_ user: BareJID, quota: Int) -> Bool {
        if entries.count >= maximumUsers, entries[user] == nil {
            entries = entries.filter { $0.value.underWay > 0 }
        }
        var entry = entries[user] ?? Entry(quota: quota)
        defer { entries[user] = entry }
        entry.underWay += 1
        if entry.quota != quota { (entry.quota, entry.room) = (quota, 0) }
        guard entry.room > 0 else { return false }
        entry.room -= 1
        return true
    }

    /// A message was answered: with how many there were then, itself included, if they were counted for it.
    mutating func answered(_ user: BareJID, _ count: Int?, quota: Int) {
        guard var entry = entries[user] else { return }
        entry.underWay = max(0, entry.underWay - 1)
        // The answers that are still due may each be one message more.
        if let count, entry.quota == quota { entry.room = max(0, quota - count - entry.underWay) }
        entries[user] = entry.underWay == 0 && entry.room == 0 ? nil : entry
    }
}
