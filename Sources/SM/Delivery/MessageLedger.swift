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
struct MessageLedger: Sendable {
    enum Release: Equatable, Sendable {
        /// Somebody acknowledged it.
        case settled
        /// Another session still has it.
        case heldElsewhere
        /// Nobody has it any more; `row` is its row in the spool, if it came from there.
        case orphaned(row: Int64?)
    }

    private struct Record {
        var holders: Int
        var isAcknowledged = false
        let row: Int64?
        let size: Int
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

    /// A holder's client acknowledged it. The row to delete, at the first acknowledgement.
    mutating func acknowledged(_ id: DeliveryID) -> Int64? {
        guard var record = records[id] else { return nil }
        let row = record.isAcknowledged ? nil : record.row
        record.isAcknowledged = true
        drop(&record, id)
        return row
    }

    /// A holder gave it up.
    mutating func released(_ id: DeliveryID) -> Release {
        guard var record = records[id] else { return .settled }
        drop(&record, id)
        if record.isAcknowledged { return .settled }
        return record.holders > 0 ? .heldElsewhere : .orphaned(row: record.row)
    }

    /// Forgets a message that was opened and found no holder.
    mutating func discard(_ id: DeliveryID) {
        guard let record = records[id], record.holders == 0 else { return }
        forget(record, id)
    }

    private mutating func drop(_ record: inout Record, _ id: DeliveryID) {
        record.holders -= 1
        if record.holders <= 0 {
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
