// SPDX-License-Identifier: Apache-2.0

import Testing

extension OwnSuites {
    /// Every mode of `jackdaw-load` against the real processes: what it makes is there, and nothing gets lost.
    @Suite(.serialized) struct LoadGeneratorTests {
        @Test func allModesRunAgainstTheSuite() async throws {
            let suite = try await RunningSuite.startForLoad()
            defer { suite.stop() }
            for _ in 1...2 {
                // Once more: what is there already stays.
                let prepared = try await suite.load(
                    ["prepare", "--clients", "16", "--contact-clients", "8", "--contacts", "4"]
                )
                #expect(prepared["units"] == 16)
            }
            let login = try await suite.load(["login", "--clients", "8", "--warm-up", "--mechanism", "SCRAM-SHA-1"])
            #expect(login["units"] == 8)
            let pace = ["--warm-up", "0", "--seconds", "1"]
            let direct = ["--direct-tls", "--port", "\(suite.directTLSPort)", "--mechanism", "PLAIN"]
            for more in [
                ["--window", "3"], ["--rate", "100"], ["--stream-management", "--idle-clients", "4"], direct,
            ] {
                try await suite.loadFaultlessly(["chat", "--pairs", "4"] + more + pace)
            }
            for more in [[], ["--stream-management"]] {
                try await suite.loadFaultlessly(["presence", "--clients", "8", "--contacts", "4"] + more + pace)
                try await suite.loadFaultlessly(
                    ["offline", "--senders", "2", "--receivers", "8", "--messages", "20"] + more
                )
            }
        }
    }
}
