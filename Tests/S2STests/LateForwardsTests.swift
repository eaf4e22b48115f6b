// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Testing
import XMPPCore

@testable import S2S

/// What an SM handed over before it was evicted comes to nothing.
@Suite struct LateForwardsTests {
    private static func forwarded(epoch: UInt64, isCounted: Bool = true) -> SessionMessage.Forwarded {
        .init(
            token: 1,
            epoch: epoch,
            id: "a",
            received: 0,
            isCounted: isCounted,
            stanza: Stanza(kind: .message, id: "i")
        )
    }

    private static func table(_ maps: [(UInt64, [String])]) -> LateForwards {
        var table = LateForwards()
        for (epoch, instances) in maps { table.mapChanged(to: OwnershipMap(epoch: epoch, instances: instances)) }
        return table
    }

    @Test func `who is an owner all the time is never late, whatever map it has`() {
        let table = Self.table([(3, ["sm-1"]), (4, ["sm-1", "sm-2"])])
        for epoch: UInt64 in 1...5 { #expect(!table.isLate(Self.forwarded(epoch: epoch), from: "sm-1")) }
    }

    @Test func `what an evicted one had on its way is late, also after it has come back`() {
        var table = Self.table([(3, ["sm-1", "sm-2"]), (4, ["sm-2"])])
        #expect(table.isLate(Self.forwarded(epoch: 3), from: "sm-1"))
        table.mapChanged(to: OwnershipMap(epoch: 5, instances: ["sm-1", "sm-2"]))
        #expect(table.isLate(Self.forwarded(epoch: 3), from: "sm-1"))
        #expect(!table.isLate(Self.forwarded(epoch: 5), from: "sm-1"))
        #expect(!table.isLate(Self.forwarded(epoch: 3), from: "sm-2"))
    }

    @Test func `one that has a newer map is not late, and one without any map neither`() {
        #expect(!Self.table([(3, ["sm-1"])]).isLate(Self.forwarded(epoch: 4), from: "sm-2"))
        #expect(!Self.table([]).isLate(Self.forwarded(epoch: 4), from: "sm-1"))
    }

    @Test func `what nobody else hands over is not late`() {
        let table = Self.table([(3, ["sm-1", "sm-2"]), (4, ["sm-2"])])
        #expect(!table.isLate(Self.forwarded(epoch: 3, isCounted: false), from: "sm-1"))
    }
}
