// SPDX-License-Identifier: Apache-2.0

import Testing
import XMPPCore

@testable import SM

/// What a broken session's client was sent, as the session's record has it.
@Suite struct SentBeforeTests {
    /// An outbox whose client has acknowledged `acknowledged` stanzas, and was sent one for each id since.
    private static func outbox(acknowledged: UInt64, _ ids: [String]) -> SessionOutbox<Outgoing> {
        var outbox = SessionOutbox<Outgoing>(maximumCount: 10_000, maximumBytes: 1 << 20, window: 1 << 20)
        outbox.restore(acknowledged: acknowledged)
        for (index, id) in ids.enumerated() {
            let outgoing = Outgoing(stanza: Stanza(kind: .message), received: 0, stableID: id)
            let delivery = id.isEmpty ? nil : DeliveryID(value: UInt64(index))
            outbox.restore(outgoing, delivery: delivery, size: 1)
        }
        return outbox
    }

    @Test(
        arguments: [
            (2, []), (3, ["a"]), (4, ["a"]), (5, ["a", "c"]), (9, ["a", "c"]), (1, []), (UInt32.max, []),
        ] as [(UInt32, [String])]
    )
    func `the client has got what its h covers`(h: UInt32, expected: [String]) {
        let sent = SentBefore(Self.outbox(acknowledged: 2, ["a", "", "c"]))
        #expect(sent.ids(upTo: h) == Set(expected))
    }

    @Test func `a client that has got more was attached again since`() {
        let sent = SentBefore(Self.outbox(acknowledged: 2, ["a", "", "c"]))
        #expect(!sent.isOutdated(by: 2) && !sent.isOutdated(by: 5))
        #expect(sent.isOutdated(by: 6))
        let many = SentBefore(Self.outbox(acknowledged: 0, (0...SentBefore.limit).map { "\($0)" }))
        #expect(!many.isOutdated(by: UInt32(SentBefore.limit + 1)))
    }

    @Test func `h counts modulo 2^32`() {
        let sent = SentBefore(Self.outbox(acknowledged: UInt64(UInt32.max), ["a", "b"]))
        #expect(sent.ids(upTo: 0) == ["a"])
    }

    @Test func `it is part of the state that a record keeps`() {
        var state = SessionState()
        state.sent = SentBefore(Self.outbox(acknowledged: 2, ["a", "", "c"]))
        state.lately = ["e", "d"]
        #expect(SessionState(state.encoded).sent == state.sent)
        #expect(SessionState(state.encoded).lately == ["e", "d"])
        #expect(SessionState(SessionState().encoded).sent == nil)
    }

    @Test func `of very many stanzas the first are known`() {
        let ids = (0..<(SentBefore.limit + 1)).map { "\($0)" }
        let sent = SentBefore(Self.outbox(acknowledged: 0, ids))
        #expect(sent.ids.count == SentBefore.limit)
        #expect(sent.ids(upTo: UInt32(ids.count)).count == SentBefore.limit)
    }

    @Test func `what the client has got leaves the queue`() {
        var outbox = Self.outbox(acknowledged: 0, [])
        outbox.detached()
        for id in ["a", "b", "a"] {
            let outgoing = Outgoing(stanza: Stanza(kind: .message), received: 0, stableID: id)
            #expect(outbox.append(outgoing, delivery: nil, size: 3) == .queued)
        }
        #expect(outbox.removeQueued { $0.stableID == "a" }.count == 2)
        #expect(outbox.queue.map(\.payload.stableID) == ["b"])
        #expect(outbox.bytes == 3)
        #expect(outbox.looseBytes == 3)
    }
}
