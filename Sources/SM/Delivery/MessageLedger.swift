// SPDX-License-Identifier: Apache-2.0

/// A message on its way to one user's sessions; unique in the life of the user's `MessageLedger`.
struct DeliveryID: Hashable, Sendable {
    let value: UInt64
}

/// Which messages of a user are in the outboxes of which number of sessions, and which row of the spool each has.
///
/// The first session that acknowledges a message settles it for all: its row is deleted, and nobody else inherits
/// it. When a session ends, what no other session holds and nobody acknowledged is an orphan, which goes to
/// another session or to the spool.
///
/// A pure value: no I/O, no time.
struct MessageLedger {
    enum Release: Equatable, Sendable {
        /// Somebody acknowledged it.
        case settled
        /// Another session still has it.
        case heldElsewhere
        /// Nobody has it any more; `row` is its row in the spool, if it came from there.
        case orphaned(row: Int64?)
        /// Likewise, but its row is being written: `written` tells what becomes of it.
        case underWay
    }

    /// What became of a message whose row was being written.
    enum WriteEnd: Equatable {
        /// Sessions hold it still.
        case held
        /// It was not written, and is to be.
        case again
        /// A client has acknowledged it meanwhile: the row goes.
        case acknowledged(row: Int64?)
        /// Its last session has ended meanwhile.
        case orphaned(row: Int64?)
    }

    private struct Record {
        var holders: Int
        var isAcknowledged = false
        var row: Int64?
        let size: Int
        /// What gets a row if nobody acknowledges it.
        var outgoing: Outgoing?
        /// Its row is being written; until that has ended the record stays.
        var isWriting = false
    }

    private var records: [DeliveryID: Record] = [:]
    private var last: UInt64 = 0
    /// The rows of the spool that are in an outbox: they must not be read and sent again.
    private(set) var rows: Set<Int64> = []

    /// The bytes of all messages, each once.
    private(set) var bytes = 0

    var isEmpty: Bool { records.isEmpty }

    /// One session holds it, and nobody acknowledged it: without that session it would be an orphan.
    func isHeldOnce(_ id: DeliveryID) -> Bool {
        records[id].map { $0.holders == 1 && !$0.isAcknowledged } ?? false
    }

    /// It came from the spool, and its row is still there.
    func isStored(_ id: DeliveryID) -> Bool { records[id]?.row != nil }

    /// A new message; it has no holder until `hold`.
    mutating func open(row: Int64? = nil, size: Int = 0) -> DeliveryID {
        last += 1
        let id = DeliveryID(value: last)
        records[id] = Record(holders: 0, row: row, size: size)
        bytes += size
        if let row { rows.insert(row) }
        return id
    }

    /// A session took it into its outbox.
    mutating func hold(_ id: DeliveryID) {
        records[id]?.holders += 1
    }

    /// A holder's client acknowledged it. The row to delete, at the first acknowledgement; one that is being written is
    /// told by `written`.
    mutating func acknowledged(_ id: DeliveryID) -> Int64? {
        guard var record = records[id] else { return nil }
        let row = record.isAcknowledged ? nil : record.row
        record.isAcknowledged = true
        record.outgoing = nil
        drop(&record, id)
        return row
    }

    /// A client that is none of its holders had acknowledged it before: they keep it, and nobody inherits it. The row to
    /// delete, if it is the first to say so.
    mutating func acknowledgedBefore(_ id: DeliveryID) -> Int64? {
        guard let record = records[id], !record.isAcknowledged else { return nil }
        records[id]?.isAcknowledged = true
        records[id]?.outgoing = nil
        return record.row
    }

    /// A holder gave it up.
    mutating func released(_ id: DeliveryID) -> Release {
        guard var record = records[id] else { return .settled }
        drop(&record, id)
        if record.isAcknowledged { return .settled }
        if record.holders > 0 { return .heldElsewhere }
        return record.isWriting ? .underWay : .orphaned(row: record.row)
    }

    /// Keeps what is written if nobody acknowledges it.
    mutating func remember(_ outgoing: Outgoing, _ id: DeliveryID) {
        records[id]?.outgoing = outgoing
    }

    /// What is to be written now; nil: somebody has acknowledged it, it is being written, or it has another way.
    mutating func beginWriting(_ id: DeliveryID) -> Outgoing? {
        guard let record = records[id], !record.isAcknowledged, !record.isWriting, record.row == nil,
            let outgoing = record.outgoing
        else { return nil }
        records[id]?.isWriting = true
        return outgoing
    }

    /// A row was found that holds it as well; false: it is not held any more.
    mutating func setRow(_ row: Int64, _ id: DeliveryID) -> Bool {
        guard records[id] != nil else { return false }
        records[id]?.row = row
        rows.insert(row)
        return true
    }

    /// The writing has ended, with this row; or without one, and is then tried again if it is not final.
    mutating func written(_ id: DeliveryID, row: Int64?, isFinal: Bool) -> WriteEnd {
        guard var record = records[id] else { return .held }
        record.isWriting = false
        guard record.holders > 0 else {
            forget(record, id)
            return record.isAcknowledged ? .acknowledged(row: row) : .orphaned(row: row)
        }
        if record.isAcknowledged {
            records[id] = record
            return .acknowledged(row: row)
        }
        if let row {
            record.row = row
            rows.insert(row)
        }
        if isFinal { record.outgoing = nil }
        records[id] = record
        return row == nil && !isFinal ? .again : .held
    }

    /// Forgets a message that was opened and found no holder.
    mutating func discard(_ id: DeliveryID) {
        guard let record = records[id], record.holders == 0 else { return }
        forget(record, id)
    }

    private mutating func drop(_ record: inout Record, _ id: DeliveryID) {
        record.holders -= 1
        if record.holders <= 0, !record.isWriting {
            forget(record, id)
        } else {
            records[id] = record
        }
    }

    private mutating func forget(_ record: Record, _ id: DeliveryID) {
        records[id] = nil
        bytes -= record.size
        if let row = record.row { rows.remove(row) }
    }
}
