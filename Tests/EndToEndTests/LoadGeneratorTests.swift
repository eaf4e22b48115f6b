// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension OwnSuites {
    /// Every mode of `jackdaw-load` against the real processes: what it makes is there, and nothing gets lost.
    @Suite(.serialized) struct LoadGeneratorTests {
        private static let limits = """
              limits:
                stanzas_per_second: 100000
                bytes_per_second: 100MiB
            """
        private static let configuration = """
            registration:
              enabled: true
              per_address: 1000
              total: 1000
            """

        @Test func allModesRunAgainstTheSuite() async throws {
            let suite = try await RunningSuite.start(c2s: Self.limits, configuration: Self.configuration)
            defer { suite.stop() }
            for _ in 1...2 {
                // Once more: what is there already stays.
                let prepared = try await load(
                    ["prepare", "--clients", "16", "--contact-clients", "8", "--contacts", "4"],
                    suite
                )
                #expect(prepared["units"] == 16)
            }
            let login = try await load(["login", "--clients", "8", "--warm-up", "--mechanism", "SCRAM-SHA-1"], suite)
            #expect(login["units"] == 8)
            let pace = ["--warm-up", "0", "--seconds", "1"]
            let direct = ["--direct-tls", "--port", "\(suite.directTLSPort)", "--mechanism", "PLAIN"]
            for more in [
                ["--window", "3"], ["--rate", "100"], ["--stream-management", "--idle-clients", "4"], direct,
            ] {
                try await expectFaultless(["chat", "--pairs", "4"] + more + pace, suite)
            }
            for more in [[], ["--stream-management"]] {
                try await expectFaultless(["presence", "--clients", "8", "--contacts", "4"] + more + pace, suite)
                try await expectFaultless(
                    ["offline", "--senders", "2", "--receivers", "8", "--messages", "20"] + more,
                    suite
                )
            }
        }

        private func expectFaultless(_ arguments: [String], _ suite: RunningSuite) async throws {
            let report = try await load(arguments, suite)
            #expect(report["units"] ?? 0 > 0, "\(arguments): \(report)")
            for fault in ["lost", "doubled", "reordered", "errors", "broken"] {
                #expect(report[fault] == 0, "\(arguments): \(report)")
            }
        }

        /// The numbers of the report.
        private func load(_ arguments: [String], _ suite: RunningSuite) async throws -> [String: Double] {
            let port = arguments.contains("--port") ? [] : ["--port", "\(suite.clientPort)"]
            let command = [RunningSuite.binary("jackdaw-load")] + arguments + port + ["--domain", suite.domain]
            let result = try await SuiteProcess.run(command)
            guard result.status == 0, let line = result.output.split(separator: "\n").last,
                let report = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            else { throw RunningSuite.Failure(description: "\(arguments): \(result.output)") }
            return report.compactMapValues { $0 as? Double ?? ($0 as? Int).map(Double.init) }
        }
    }
}
