// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Testing
import XMPPCore

@testable import S2S

/// What comes again after the loss of an SM goes to the other server once.
@Suite struct HandedOverTests {
    private static let first = ForwardOrigin(instance: "sm-1", token: 1)
    private static let second = ForwardOrigin(instance: "sm-2", token: 9)

    private static func forwarded(
        id: String = "a",
        kind: Stanza.Kind = .message,
        to: String = "juliet@peer.example",
        isCounted: Bool = true
    ) throws -> SessionMessage.Forwarded {
        let stanza = Stanza(kind: kind, to: try JID(to), from: try JID("romeo@one.example/r"), id: "i")
        return .init(token: 1, epoch: 1, id: id, received: 0, isCounted: isCounted, stanza: stanza)
    }

    @Test func `who hands it over again while it waits is told what becomes of it`() throws {
        var table = HandedOver()
        #expect(table.received(try Self.forwarded(), ticket: Self.first) == .new)
        #expect(table.received(try Self.forwarded(), ticket: Self.second) == .waits)
        let sent = table.sent(Self.first)
        #expect(sent == Self.second)
        #expect(table.received(try Self.forwarded(), ticket: Self.second) == .isOnTheWire)
        #expect(table.settled(Self.first, now: 0) == Self.second)
        #expect(table.received(try Self.forwarded(), ticket: Self.second) == .isSettled)
    }

    @Test func `what failed may be tried again`() throws {
        var table = HandedOver()
        #expect(table.received(try Self.forwarded(), ticket: Self.first) == .new)
        #expect(table.received(try Self.forwarded(), ticket: Self.second) == .waits)
        #expect(table.failed(Self.first) == Self.second)
        #expect(table.received(try Self.forwarded(), ticket: Self.second) == .new)
    }

    @Test func `one stanza goes to each of its addresses`() throws {
        var table = HandedOver()
        #expect(table.received(try Self.forwarded(), ticket: Self.first) == .new)
        #expect(table.received(try Self.forwarded(to: "nurse@peer.example"), ticket: Self.second) == .new)
    }

    @Test func `what never comes again is not remembered`() throws {
        var table = HandedOver()
        for _ in 1...2 {
            #expect(table.received(try Self.forwarded(isCounted: false), ticket: Self.first) == .new)
            #expect(table.received(try Self.forwarded(kind: .presence), ticket: Self.first) == .new)
            #expect(table.settled(Self.first, now: 0) == Self.first)
        }
    }

    @Test func `it forgets after a time, and at its bound`() throws {
        var table = HandedOver(maximumSettled: 2, microseconds: 100)
        for (index, id) in ["a", "b", "c"].enumerated() {
            let ticket = ForwardOrigin(instance: "sm-1", token: UInt64(index))
            #expect(table.received(try Self.forwarded(id: id), ticket: ticket) == .new)
            _ = table.settled(ticket, now: 0)
        }
        #expect(table.received(try Self.forwarded(id: "c"), ticket: Self.second) == .isSettled)
        #expect(table.received(try Self.forwarded(id: "a"), ticket: Self.second) == .new)
        _ = table.settled(Self.second, now: 101)
        #expect(table.received(try Self.forwarded(id: "c"), ticket: Self.first) == .new)
    }
}
