// SPDX-License-Identifier: Apache-2.0

import DNS
import TestSupport
import Testing

@testable import S2S

/// The order in which hosts are tried (RFC 2782, XEP-0368).
@Suite struct TargetTests {
    private func answer(_ records: (priority: UInt8, weight: UInt8, port: UInt8, host: String)...) -> Answer {
        let data = records.map { record -> [UInt8] in
            let name = record.host.isEmpty ? [0] : [UInt8(record.host.utf8.count)] + Array(record.host.utf8) + [0]
            return [0, record.priority, 0, record.weight, 0, record.port] + name
        }
        return Answer(records: data, isSecure: false, isNameUnknown: false)
    }

    @Test func `Priorities of both kinds are one order`() {
        var random = SeededGenerator(seed: 1)
        let targets = Targets.order(
            direct: self.answer((2, 0, 1, "d")),
            startTLS: self.answer((3, 0, 2, "z"), (1, 0, 3, "a")),
            using: &random
        )
        #expect(targets?.map { $0.map(\.description) } == [["a:3"], ["d:1 (direct TLS)"], ["z:2"]])
    }

    @Test func `Weights are chances`() {
        var first: [String: Int] = [:]
        for seed in 0..<2_000 {
            var random = SeededGenerator(seed: UInt64(seed))
            let targets = Targets.order(
                direct: nil,
                startTLS: self.answer((1, 30, 1, "heavy"), (1, 10, 1, "light"), (1, 0, 1, "none")),
                using: &random
            )
            // Of one priority: they race.
            #expect(targets?.count == 1 && targets?.first?.count == 3)
            first[targets?.first?.first?.host ?? "", default: 0] += 1
        }
        #expect((1_350...1_650).contains(first["heavy"] ?? 0) && (350...650).contains(first["light"] ?? 0))
        #expect((first["none"] ?? 0) < 150)
    }

    @Test func `The root alone says that there is no server`() {
        var random = SeededGenerator(seed: 1)
        #expect(Targets.order(direct: nil, startTLS: self.answer((0, 0, 0, "")), using: &random) == nil)
        let one = Targets.order(
            direct: self.answer((0, 0, 0, "")),
            startTLS: self.answer((0, 0, 9, "a")),
            using: &random
        )
        #expect(one?.map { $0.map(\.host) } == [["a"]])
        #expect(Targets.order(direct: nil, startTLS: nil, using: &random)?.isEmpty == true)
    }
}
