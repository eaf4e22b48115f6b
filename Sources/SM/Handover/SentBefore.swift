// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// What a broken session's client was sent and has not acknowledged, in its session record: what the client has got, it
/// says when it resumes, and that must not come again from the spool or from its sender.
///
/// A pure value, bounded: of more than ``limit`` stanzas the first ones are known.
struct SentBefore: Equatable {
    /// So many stanzas are remembered.
    static let limit = 1_000

    /// The number of the last stanza that the client acknowledged.
    let acknowledged: UInt64
    /// The stable ids of those behind it; empty for what is not kept.
    let ids: [String]

    init(_ outbox: SessionOutbox<Outgoing>) {
        acknowledged = outbox.acknowledged
        ids = outbox.wire.prefix(Self.limit).map { $0.delivery == nil ? "" : $0.payload.stableID }
    }

    /// What the client has got, by its `h` (XEP-0198 §5).
    func ids(upTo h: UInt32) -> Set<String> {
        let count = Int32(truncatingIfNeeded: h &- UInt32(truncatingIfNeeded: acknowledged))
        return Set(ids.prefix(max(0, Int(count)))).subtracting([""])
    }

    /// Whether the client has got more than this knows of: it was attached again since.
    func isOutdated(by h: UInt32) -> Bool {
        let count = Int32(truncatingIfNeeded: h &- UInt32(truncatingIfNeeded: acknowledged))
        return ids.count < Self.limit && count > ids.count
    }

    // MARK: Bytes

    func write(to buffer: inout ByteBuffer) {
        buffer.writeString("<sent n='\(acknowledged)'>")
        for id in ids {
            XMLEscape.writeText(id.isEmpty ? "-" : id, to: &buffer)
            buffer.writeStaticString(" ")
        }
        buffer.writeStaticString("</sent>")
    }

    /// nil if it cannot be read.
    init?(_ element: StreamElement) {
        guard let number = element["n"].flatMap({ UInt64($0) }) else { return nil }
        acknowledged = number
        let words = String(buffer: element.content).split(separator: " ").prefix(Self.limit)
        ids = words.map { $0 == "-" ? "" : String($0) }
    }
}
