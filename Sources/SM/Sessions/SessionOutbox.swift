// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// What SM sent or will send to a session and the client did not acknowledge.
///
/// With XEP-0198 (`startCounting`) every stanza is kept and numbered from 1 as it is sent, and the client acknowledges
/// by `h`, the number modulo 2^32 (§4). Without it only what carries a `delivery` is kept after it was sent,
/// unnumbered, and the client's next stanza or a clean close acknowledges all that was sent.
///
/// ```
///   acknowledged            lastSent                 last
///        |------ on the wire -----|------ queue ------|
/// ```
///
/// A stanza is sent at once while the session is attached, nothing waits before it, less than `window` bytes are on
/// the wire, and its caller does not hold it back (`isHeld`: the link is busy). Otherwise it waits in the queue, and
/// `next` gives it when there is room again.
///
/// At the bound (stanzas or bytes, sent and waiting together) `append` answers `.full` and changes nothing; the session
/// then ends, and what it kept goes to other sessions or to the spool. A single stanza is always taken by an empty
/// outbox.
///
/// A pure value: no I/O, no time.
struct SessionOutbox<Payload> {
    struct Entry {
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
        /// It is sent later: `next` gives it.
        case queued
        case full
    }

    /// Sent and not acknowledged.
    private(set) var wire: Deque<Entry> = []
    /// Not sent yet.
    private(set) var queue: Deque<Entry> = []
    /// The bytes of all of it.
    private(set) var bytes = 0
    /// Of these, the bytes of what carries no `delivery`.
    private(set) var looseBytes = 0
    /// Bytes that were sent, and that no sign of the client has confirmed: its acknowledgement, or without XEP-0198
    /// its next stanza.
    private(set) var unconfirmed = 0
    private(set) var isCounting = false
    private(set) var isAttached = true
    /// What the client has got is not known until it says so.
    private var isUnknown = false
    /// The number of the last acknowledged stanza.
    private(set) var acknowledged: UInt64 = 0
    private let maximumCount: Int
    private let maximumBytes: Int
    private let window: Int

    /// - Parameters:
    ///   - maximumCount: stanzas that are kept at most.
    ///   - maximumBytes: bytes that are kept at most.
    ///   - window: when so many bytes are sent and not confirmed, the next stanza waits.
    init(maximumCount: Int, maximumBytes: Int, window: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
        self.window = window
    }

    /// How many stanzas it keeps.
    var count: Int { wire.count + queue.count }

    /// All that it keeps, in order.
    var entries: [Entry] { Array(wire) + Array(queue) }

    /// The number of the last stanza that was put on the wire.
    var lastSent: UInt64 { acknowledged + UInt64(wire.count) }

    /// The client may be sent more.
    private var isOpen: Bool { isAttached && unconfirmed < window }

    /// `next` gives something.
    var hasNext: Bool { isOpen && !queue.isEmpty }

    /// Half full, or half of the window is taken: the spool is not read on until the client acknowledged more.
    var isBusy: Bool {
        !queue.isEmpty || isHalfTaken || count >= maximumCount / 2 || bytes >= maximumBytes / 2
    }

    /// Half of the window is taken: time to ask a client that counts nothing for a sign of life.
    var isHalfTaken: Bool { unconfirmed >= window / 2 }

    /// Whether `append` takes so many bytes.
    func hasRoom(for size: Int) -> Bool {
        count == 0 || (count < maximumCount && bytes + size <= maximumBytes)
    }

    /// The client enabled XEP-0198: numbers start at 1. What it got before is acknowledged, since `<enable/>` came
    /// after it; what still waits is numbered when it is sent.
    mutating func startCounting() -> [Entry] {
        let before = acknowledgeAll()
        isCounting = true
        return before
    }

    mutating func append(_ payload: Payload, delivery: DeliveryID?, size: Int, isHeld: Bool = false) -> Append {
        let isSentNow = !isHeld && queue.isEmpty && isOpen
        if isSentNow, !isCounting, delivery == nil {
            unconfirmed += size
            return .sendUnnumbered
        }
        guard hasRoom(for: size) else { return .full }
        bytes += size
        if delivery == nil { looseBytes += size }
        let entry = Entry(payload: payload, delivery: delivery, size: size)
        guard isSentNow else {
            queue.append(entry)
            return .queued
        }
        wire.append(entry)
        unconfirmed += size
        return isCounting ? .send(number: lastSent) : .sendUnnumbered
    }

    /// Takes the next waiting stanza to be sent, with its number if the session counts; nil when none waits or the
    /// client has to acknowledge first.
    mutating func next() -> (number: UInt64?, entry: Entry)? {
        guard isOpen, let entry = queue.popFirst() else { return nil }
        unconfirmed += entry.size
        guard isCounting || entry.delivery != nil else {
            bytes -= entry.size
            looseBytes -= entry.size
            return (number: nil, entry: entry)
        }
        wire.append(entry)
        return (number: isCounting ? lastSent : nil, entry: entry)
    }

    /// The client's `h`: the stanzas up to it leave the outbox. nil when `h` names what was never sent.
    mutating func acknowledge(_ h: UInt32) -> [Entry]? {
        guard isCounting else { return nil }
        if isUnknown {
            isUnknown = false
            acknowledged = UInt64(h)
            return []
        }
        let count = UInt64(h &- UInt32(truncatingIfNeeded: acknowledged))
        guard count <= UInt64(wire.count) else { return nil }
        acknowledged += count
        return confirmFirst(Int(count))
    }

    /// For a session that does not count: its client sent something later, or ended its stream cleanly.
    mutating func acknowledgeAll() -> [Entry] {
        guard !isCounting else { return [] }
        let removed = confirmFirst(wire.count)
        unconfirmed = 0
        return removed
    }

    mutating func detached() {
        isAttached = false
    }

    /// The session is attached again; everything that is kept is to be sent, in order, from `acknowledged + 1`.
    mutating func attached() {
        isAttached = true
        unconfirmed = 0
        queue.prepend(contentsOf: wire)
        wire.removeAll()
    }

    /// The session is attached again at the C2S that had it: the client was sent all up to `sent`, and has acknowledged
    /// all up to `acknowledged`. What is beyond follows. Gives what is acknowledged.
    mutating func attached(acknowledged number: UInt64, sent: UInt64) -> [Entry] {
        isAttached = true
        let count = number > acknowledged ? min(Int(clamping: number - acknowledged), wire.count) : 0
        acknowledged += UInt64(count)
        let removed = confirmFirst(count)
        let kept = Int(clamping: sent > acknowledged ? sent - acknowledged : 0)
        while wire.count > kept, let entry = wire.popLast() {
            unconfirmed -= entry.size
            queue.prepend(entry)
        }
        return removed
    }

    /// Begins with the counters of a session that was another SM's.
    mutating func restore(acknowledged number: UInt64) {
        isCounting = true
        acknowledged = number
    }

    /// Begins without counters: those of the client count, when it resumes. What it has not got is in the spool.
    mutating func restoreUnknown() {
        isCounting = true
        isAttached = false
        isUnknown = true
    }

    /// The client was sent this after what is here already.
    mutating func restore(_ payload: Payload, delivery: DeliveryID?, size: Int) {
        bytes += size
        if delivery == nil { looseBytes += size }
        unconfirmed += size
        wire.append(Entry(payload: payload, delivery: delivery, size: size))
    }

    /// Takes out what waits and need not be sent.
    mutating func removeQueued(where isDone: (Payload) -> Bool) -> [Entry] {
        let removed = queue.filter { isDone($0.payload) }
        guard !removed.isEmpty else { return [] }
        queue.removeAll { isDone($0.payload) }
        for entry in removed {
            bytes -= entry.size
            if entry.delivery == nil { looseBytes -= entry.size }
        }
        return Array(removed)
    }

    /// Takes everything out, for a session that ends.
    mutating func removeAll() -> [Entry] {
        let all = entries
        wire.removeAll()
        queue.removeAll()
        bytes = 0
        looseBytes = 0
        unconfirmed = 0
        return all
    }

    private mutating func confirmFirst(_ count: Int) -> [Entry] {
        guard count > 0 else { return [] }
        let removed = Array(wire.prefix(count))
        wire.removeFirst(count)
        for entry in removed {
            bytes -= entry.size
            if entry.delivery == nil { looseBytes -= entry.size }
            unconfirmed -= entry.size
        }
        return removed
    }
}
