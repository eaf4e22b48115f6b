// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// What SM sent or will send to a session and the client did not acknowledge.
///
/// With XEP-0198 (`startCounting`) every stanza is kept and numbered from 1, and the client acknowledges by `h`,
/// the number modulo 2^32 (§4). Without it only what carries a `delivery` is kept, unnumbered, and all of it is
/// acknowledged by the client's next stanza or a clean close.
///
/// ```
///   acknowledged            sent                     last
///        |---- on the wire ---|---- queued (detached) --|
/// ```
///
/// At the bound (stanzas or bytes) `append` answers `.full` and changes nothing; the session then ends, and what it
/// kept goes to other sessions or to the spool. A single stanza is always taken by an empty outbox.
///
/// A pure value: no I/O, no time.
struct SessionOutbox<Payload: Sendable>: Sendable {
    struct Entry: Sendable {
        let payload: Payload
        /// The message's place in the user's `MessageLedger`; nil for what is not kept beyond the session.
        let delivery: DeliveryID?
        let size: Int
    }

    enum Append: Equatable, Sendable {
        /// Send it now, with this number.
        case send(number: UInt64)
        /// Send it now; there are no numbers.
        case sendUnnumbered
        /// The session is detached: it is sent at the resumption.
        case queued
        case full
    }

    private(set) var entries: Deque<Entry> = []
    private(set) var bytes = 0
    private(set) var isCounting = false
    private(set) var isAttached = true
    /// The number of the last acknowledged stanza.
    private(set) var acknowledged: UInt64 = 0
    /// The number of the last stanza that was put on the wire.
    private(set) var sent: UInt64 = 0
    private let maximumCount: Int
    private let maximumBytes: Int

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    /// Half full: the spool is not read on until the client acknowledged more.
    var isBusy: Bool { entries.count >= maximumCount / 2 || bytes >= maximumBytes / 2 }

    /// The client enabled XEP-0198: numbers start at 1. What it got before is acknowledged, since `<enable/>` came
    /// after it.
    mutating func startCounting() -> [Entry] {
        let before = acknowledgeAll()
        isCounting = true
        return before
    }

    mutating func append(_ payload: Payload, delivery: DeliveryID?, size: Int) -> Append {
        guard isCounting || delivery != nil else { return isAttached ? .sendUnnumbered : .full }
        guard entries.isEmpty || (entries.count < maximumCount && bytes + size <= maximumBytes) else { return .full }
        entries.append(Entry(payload: payload, delivery: delivery, size: size))
        bytes += size
        guard isAttached else { return .queued }
        guard isCounting else { return .sendUnnumbered }
        sent = acknowledged + UInt64(entries.count)
        return .send(number: sent)
    }

    /// The client's `h`: the stanzas up to it leave the outbox. nil when `h` names what was never sent.
    mutating func acknowledge(_ h: UInt32) -> [Entry]? {
        guard isCounting else { return nil }
        let count = UInt64(h &- UInt32(truncatingIfNeeded: acknowledged))
        guard count <= sent - acknowledged, count <= UInt64(entries.count) else { return nil }
        acknowledged += count
        return removeFirst(Int(count))
    }

    /// For a session that does not count: its client sent something later, or ended its stream cleanly.
    mutating func acknowledgeAll() -> [Entry] {
        guard !isCounting else { return [] }
        return removeFirst(entries.count)
    }

    mutating func detached() {
        isAttached = false
    }

    /// The session is attached again; everything that is kept is to be sent, in order, from `acknowledged + 1`.
    mutating func attached() -> [(number: UInt64, entry: Entry)] {
        isAttached = true
        sent = acknowledged + UInt64(entries.count)
        return entries.enumerated().map { (number: acknowledged + UInt64($0.offset) + 1, entry: $0.element) }
    }

    /// Takes everything out, for a session that ends.
    mutating func removeAll() -> [Entry] {
        let all = Array(entries)
        entries.removeAll()
        bytes = 0
        return all
    }

    private mutating func removeFirst(_ count: Int) -> [Entry] {
        guard count > 0 else { return [] }
        let removed = Array(entries.prefix(count))
        entries.removeFirst(count)
        for entry in removed { bytes -= entry.size }
        return removed
    }
}
