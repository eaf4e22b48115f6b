// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import DequeModule
import NIOCore
import XMPPCore

/// What a C2S keeps of a session so that it outlives the SM that owns it (`docs/protocols.md`, section 5): of the client
/// what is not settled, for the client what is not acknowledged, and what SM said of its own state.
///
/// Only sessions with stream management (XEP-0198) keep stanzas. How much of the client's there is, its connection sees
/// to; what goes to it is bounded by SM's window.
///
/// A pure value: no I/O, no time.
struct SessionKeep {
    /// A stanza of the client.
    struct Unsettled {
        let number: UInt64
        var message: ChannelMessage
        /// Whether an owner was told, so that it may be more than unheard.
        var isSaid: Bool
        /// When it came, in nanoseconds of the loop's clock.
        let since: UInt64
    }

    /// A stanza that was written to the client.
    struct Unacknowledged {
        /// The stable id, and behind it the stanza.
        private let bytes: ByteBuffer
        private let idLength: Int
        /// When it was written, in nanoseconds of the loop's clock.
        let since: UInt64

        /// Copies both: what was read from the link is not kept for them.
        init(id: ByteBufferView?, stanza: ByteBuffer, since: UInt64) {
            self.since = since
            idLength = id?.count ?? 0
            var bytes = ByteBufferAllocator().buffer(capacity: idLength + stanza.readableBytes)
            if let id { bytes.writeBytes(id) }
            bytes.writeImmutableBuffer(stanza)
            self.bytes = bytes
        }

        var id: String? { idLength == 0 ? nil : bytes.getString(at: bytes.readerIndex, length: idLength) }
        var stanza: ByteBuffer {
            bytes.getSlice(at: bytes.readerIndex + idLength, length: bytes.readableBytes - idLength) ?? ByteBuffer()
        }
        var size: Int { bytes.readableBytes + 64 }
    }

    /// So many ids of acknowledged messages are remembered.
    private static let idsRemembered = 256

    /// In order, their numbers rising by one.
    private(set) var unsettled: Deque<Unsettled> = []
    private(set) var unsettledBytes = 0
    /// The last one has the number that was sent last.
    private(set) var unacknowledged: Deque<Unacknowledged> = []
    private(set) var unacknowledgedBytes = 0
    /// The stable ids of messages that the client acknowledged, the last one last: a new owner must not send them again.
    private(set) var lately: Deque<String> = []
    /// SM's own state of the session.
    var state = ByteBuffer()
    /// What `<enabled/>` gave to the client.
    var token: String?
    var tokenSeconds: UInt32?

    /// All bytes that it keeps.
    var bytes: Int { unsettledBytes + unacknowledgedBytes }

    /// Begins anew, or where another connection of the session left off: with the ids of what its client acknowledged.
    init(lately ids: [String] = []) {
        lately = Deque(ids.suffix(Self.idsRemembered))
    }

    /// The client sent a stanza.
    mutating func received(_ number: UInt64, _ message: ChannelMessage, isSaid: Bool, now: UInt64) {
        unsettled.append(Unsettled(number: number, message: message, isSaid: isSaid, since: now))
        unsettledBytes += message.bytes
    }

    /// The client's stanzas up to this one are settled.
    mutating func settled(upTo number: UInt64) {
        while let first = unsettled.first, first.number <= number {
            unsettledBytes -= first.message.bytes
            unsettled.removeFirst()
        }
    }

    /// The stanzas that an owner has not been told of are said now.
    mutating func allSaid() {
        for index in unsettled.indices { unsettled[index].isSaid = true }
    }

    /// A stanza was written to the client.
    mutating func sent(_ stanza: ByteBuffer, id: ByteBufferView?, now: UInt64) {
        let entry = Unacknowledged(id: id, stanza: stanza, since: now)
        unacknowledged.append(entry)
        unacknowledgedBytes += entry.size
    }

    /// The client has acknowledged all that was sent but the last `count`.
    mutating func acknowledged(allBut count: UInt64) {
        while UInt64(unacknowledged.count) > count, let first = unacknowledged.popFirst() {
            unacknowledgedBytes -= first.size
            guard let id = first.id else { continue }
            if lately.count >= Self.idsRemembered { lately.removeFirst() }
            lately.append(id)
        }
    }
}
