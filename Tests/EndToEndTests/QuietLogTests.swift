// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension OwnSuites {
    /// What is the normal life of a suite leaves nothing in the logs that an operator would look into.
    @Suite(.serialized) struct QuietLogTests {
        /// Those who need others end before them, as the supervisor ends them.
        private static let processes = ["c2s-1", "sm-1", "router-1"]

        @Test func toolsAndAStopAreNoTrouble() async throws {
            let suite = try await RunningSuite.start()
            // While the processes start together, one may look for another that is not there yet.
            var skipped: [String: Int] = [:]
            for name in Self.processes { skipped[name] = try suite.log(name).count }
            let account = try await suite.addAccount(named: "quiet")
            let (client, jid) = try await TestClient.login(account, to: suite, resource: "here")
            try await client.becomeAvailable(as: jid)
            for _ in 0..<5 { _ = try await suite.control(["status"]) }
            _ = try await suite.controlRows(["session", "list"])
            for name in Self.processes {
                let process = try suite.process(name)
                process.kill(SIGTERM)
                if name == "c2s-1" {
                    #expect(try await client.streamError() == "system-shutdown")
                    await client.breakConnection()
                }
                try await process.awaitEnd()
            }
            for name in Self.processes {
                let log = try suite.log(name).dropFirst(skipped[name] ?? 0)
                #expect(log.contains(" info \(name): stopped\n"), "\(log)")
                for trouble in [" warning \(name): ", " error \(name): ", "connection failed"] {
                    #expect(!log.contains(trouble), "\(log)")
                }
            }
            suite.stop()
        }
    }
}
