// SPDX-License-Identifier: Apache-2.0

import OrderedCollections
import XMPPCore

/// The changes of session records that are to be written: the last one of each session, in the order of the first.
///
/// A pure value, bounded: beyond the bound changes are dropped, and all live sessions are to be written again when there
/// is room (``isIncomplete``). What is dropped of sessions that end stays in the table, until their resumption time is
/// over for whoever finds them there.
struct SessionRecordQueue {
    private enum Change {
        /// `isNew`: nothing was written of this session yet.
        case write(SessionRecord, isNew: Bool)
        case end(BareJID)
        /// It came and went. It keeps its place, since taking it out of the middle costs more.
        case nothing

        var user: BareJID? {
            switch self {
            case .write(let record, _): record.user
            case .end(let user): user
            case .nothing: nil
            }
        }

        var weight: Int {
            switch self {
            case .write(let record, _): record.weight
            case .end, .nothing: 100
            }
        }
    }

    private let maximumWeight: Int
    private var changes: OrderedDictionary<String, Change> = [:]
    private var weight = 0
    /// What is being written.
    private var underWay: OrderedDictionary<String, Change> = [:]
    /// How many changes wait.
    private(set) var count = 0
    /// Changes were dropped since the last time that all sessions were added.
    private(set) var isIncomplete = false

    init(maximumWeight: Int) {
        self.maximumWeight = maximumWeight
    }

    /// A session began.
    mutating func opened(_ record: SessionRecord) { put(.write(record, isNew: true), record.name) }

    /// A session changed: this is how it is now.
    mutating func changed(_ record: SessionRecord) {
        var isNew = false
        if case .write(_, isNew: true)? = changes[record.name] { isNew = true }
        put(.write(record, isNew: isNew), record.name)
    }

    /// A session is over. One that came since the last batch costs nothing.
    mutating func ended(_ name: String, of user: BareJID) {
        if case .write(_, isNew: true)? = changes[name] { return put(.nothing, name) }
        put(.end(user), name)
    }

    private mutating func put(_ change: Change, _ name: String) {
        guard changes[name] != nil || weight + change.weight <= maximumWeight else {
            isIncomplete = true
            return
        }
        set(change, name)
    }

    private mutating func set(_ change: Change, _ name: String) {
        let old = changes.updateValue(change, forKey: name)
        weight += change.weight - (old?.weight ?? 0)
        count += (change.user == nil ? 0 : 1) - (old?.user == nil ? 0 : 1)
    }

    /// All live sessions are to be written. What is known to have changed since stands; there is room for all of them.
    mutating func add(all records: [SessionRecord]) {
        isIncomplete = false
        for record in records where changes[record.name]?.user == nil { set(.write(record, isNew: false), record.name) }
    }

    /// Forgets what is not for us to write any more.
    mutating func keep(_ isOurs: (BareJID) -> Bool) {
        let kept = changes.filter { $0.value.user.map(isOurs) ?? false }
        (changes, weight, count) = (kept, kept.values.reduce(0) { $0 + $1.weight }, kept.count)
        underWay.removeAll { !($0.value.user.map(isOurs) ?? false) }
    }

    /// Whether something of the session is still to be written.
    func waits(_ name: String) -> Bool { isIncomplete || changes[name]?.user != nil || underWay[name] != nil }

    // MARK: Batches

    /// Takes the next batch, of so many changes and bytes at most; ``written()`` or ``failed()`` must follow.
    mutating func takeBatch(maximumCount: Int, maximumWeight: Int) -> SessionRecordBatch {
        var batch = SessionRecordBatch()
        var (passed, bytes) = (0, 0)
        for (name, change) in changes {
            let isFull = underWay.count >= maximumCount || bytes + change.weight > maximumWeight
            if isFull, !underWay.isEmpty { break }
            passed += 1
            weight -= change.weight
            switch change {
            case .write(let record, _): batch.records.append(record)
            case .end: batch.ended.append(name)
            case .nothing: continue
            }
            bytes += change.weight
            underWay[name] = change
        }
        changes.removeFirst(passed)
        count -= underWay.count
        return batch
    }

    mutating func written() {
        underWay = [:]
    }

    /// The batch may have been written or not: it goes first the next time, save what has changed since.
    mutating func failed() {
        let later = changes
        (changes, weight, count) = ([:], 0, 0)
        for (name, change) in underWay where later[name] == nil {
            if case .write(let record, _) = change {
                set(.write(record, isNew: false), name)
            } else {
                set(change, name)
            }
        }
        for (name, change) in later { set(change, name) }
        underWay = [:]
    }
}
