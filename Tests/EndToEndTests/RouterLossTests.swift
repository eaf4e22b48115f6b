// SPDX-License-Identifier: Apache-2.0

import Testing

extension OwnSuites {
    /// The router is killed again and again while clients talk: nobody is disconnected, nothing is lost, nothing comes
    /// twice or out of order (`docs/protocols.md`, section 4).
    @Suite(.serialized) struct RouterLossTests {
        @Test(arguments: [[], ["--stream-management"]])
        func nobodyNotices(_ more: [String]) async throws {
            let suite = try await RunningSuite.startForLoad()
            defer { suite.stop() }
            _ = try await suite.load(["prepare", "--clients", "20"])
            let arguments = ["chat", "--pairs", "10", "--window", "3", "--warm-up", "0", "--seconds", "6"] + more
            async let load: Void = suite.loadFaultlessly(arguments)
            for _ in 1...5 {
                try await Task.sleep(for: .seconds(1))
                let router = try suite.process("router-1")
                router.kill(9)
                try await router.awaitEnd()
                try suite.launch("router-1")
            }
            try await load
        }
    }
}
