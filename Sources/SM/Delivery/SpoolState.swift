// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// What is under way between one user's sessions and the spool.
///
/// ```
///   idle --- a session takes messages ---> reading --- last page ---> idle
///                                           |   ^
///             outbox or link busy, no room  v   |  acknowledged, sent
///                                          paused
/// ```
/// While it reads, what arrives for the user waits in `waiting`, so that spooled messages come first; while it is
/// paused, what arrives is appended to the spool.
///
/// Before the first page it waits for what is being written, which may be older than what is there. Behind the last page
/// it does so too, and reads once more: rows that no page had would stay until somebody else reads.
struct SpoolState {
    enum Reading: Equatable {
        case idle
        /// Into the session of this name.
        case reading(String)
        case paused(String)
    }

    var reading = Reading.idle
    /// Messages that wait until the spool is read.
    var waiting: Deque<Passage> = []
    var waitingBytes = 0
    /// Not since the last time that all of it was read: nothing was written to it that a session did not take.
    var mayHaveRows = true
    /// Raised with each page: an answer for an older one is dropped.
    var generation: UInt64 = 0
    /// Rows that are acknowledged and not deleted yet.
    var doomed: Set<Int64> = []
    /// The last row that was read.
    var position = SpoolPosition.start
    /// A row before the position was left for later: the spool is to be read once more.
    var isIncomplete = false
    /// Writes that have not ended.
    var writes = 0
    /// Of them, messages that no session held when they began, in order: should the user go to another SM meanwhile, they
    /// are written once more, before what is newer.
    private var underWay: Deque<Outgoing> = []
    /// It is read from the start, or once more, when these are written.
    var awaitsAppends = false
    /// By their stable ids, messages that sessions hold and whose rows are being written: a page may have such a row
    /// already, which is not to be sent again.
    private var held: Set<String> = []
    /// Of them, those whose session has ended meanwhile: they count as appends.
    private var orphaned: Set<String> = []
    /// Messages that lost their session while the database was away: in memory until it is back.
    var homeless: [Outgoing] = []
    /// The database was away when they were to be written: rows are read when that is done, since some may be newer.
    var mustWriteFirst = false

    /// A row is being written for a message that no session holds.
    mutating func beginAppend(_ outgoing: Outgoing) { underWay.append(outgoing) }

    /// That has ended.
    mutating func endAppend(_ outgoing: Outgoing) {
        if let place = underWay.firstIndex(where: { $0 === outgoing }) { underWay.remove(at: place) }
    }

    /// Takes the messages whose rows are being written, of a user that leaves.
    mutating func takeUnderWay() -> Deque<Outgoing> {
        defer { underWay = [] }
        return underWay
    }

    /// A row is being written for a message that a session holds.
    mutating func beginWriting(_ id: String) { held.insert(id) }

    /// That has ended.
    mutating func endWriting(_ id: String) {
        held.remove(id)
        orphaned.remove(id)
    }

    /// The session has ended while the row is being written.
    mutating func orphan(_ id: String) {
        if held.contains(id) { orphaned.insert(id) }
    }

    func isBeingWritten(_ id: String) -> Bool { held.contains(id) }

    /// Messages that no session holds whose rows are being written: a page that is read meanwhile may miss them.
    var appends: Int { underWay.count + orphaned.count }

    var isIdle: Bool {
        reading == .idle && waiting.isEmpty && writes == 0 && homeless.isEmpty && doomed.isEmpty
    }
}
