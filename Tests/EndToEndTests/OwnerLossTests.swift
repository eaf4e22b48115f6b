// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension OwnSuites {
    /// SMs die, come and go while clients talk: nobody is disconnected, nothing is lost, nothing comes twice or out of
    /// order (`docs/protocols.md`, section 5).
    @Suite(.serialized) struct OwnerLossTests {
        private static let chat = [
            "chat", "--pairs", "10", "--window", "3", "--warm-up", "0", "--stream-management", "--seconds",
        ]

        @Test(arguments: [1, 3])
        func killed(of managers: Int) async throws {
            let suite = try await RunningSuite.startForLoad(managers: managers)
            defer { suite.stop() }
            _ = try await suite.load(["prepare", "--clients", "20"])
            async let load: Void = suite.loadFaultlessly(Self.chat + ["16"])
            for round in 0..<5 {
                try await Task.sleep(for: .seconds(1))
                let name = "sm-\(1 + round % managers)"
                let manager = try suite.process(name)
                manager.kill(9)
                try await manager.awaitEnd()
                try suite.launch(name)
                try await suite.awaitReady(name)
            }
            try await load
        }

        /// From one to three, and back to one: those that leave stop cleanly.
        @Test func scaled() async throws {
            let suite = try await RunningSuite.startForLoad()
            defer { suite.stop() }
            _ = try await suite.load(["prepare", "--clients", "20"])
            async let load: Void = suite.loadFaultlessly(Self.chat + ["12"])
            for number in 2...3 {
                try await Task.sleep(for: .seconds(1))
                try suite.launch("sm-\(number)")
                try await suite.awaitReady("sm-\(number)")
            }
            for number in [1, 3] {
                try await Task.sleep(for: .seconds(1))
                let manager = try suite.process("sm-\(number)")
                manager.kill(SIGTERM)
                try await manager.awaitEnd()
            }
            try await load
        }
    }
}
