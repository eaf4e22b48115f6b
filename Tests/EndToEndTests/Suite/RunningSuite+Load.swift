// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// `jackdaw-load` against a suite.
extension RunningSuite {
    /// A suite that the generator may register accounts at, and that does not slow it.
    static func startForLoad(routers: Int = 1, managers: Int = 1) async throws -> RunningSuite {
        let limits = """
              limits:
                stanzas_per_second: 100000
                bytes_per_second: 100MiB
            """
        let configuration = """
            registration:
              enabled: true
              per_address: 1000
              total: 1000
            """
        return try await start(c2s: limits, configuration: configuration, routers: routers, managers: managers)
    }

    /// Runs the generator, and gives the numbers of its report.
    func load(_ arguments: [String]) async throws -> [String: Double] {
        let port = arguments.contains("--port") ? [] : ["--port", "\(clientPort)"]
        let command = [Self.binary("jackdaw-load")] + arguments + port + ["--domain", domain]
        let result = try await SuiteProcess.run(command)
        guard result.status == 0, let line = result.output.split(separator: "\n").last,
            let report = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        else { throw Failure(description: "\(arguments): \(result.output)") }
        return report.compactMapValues { $0 as? Double ?? ($0 as? Int).map(Double.init) }
    }

    /// Likewise; nothing may be lost, come twice or out of order, be answered with an error, or lose its connection.
    func loadFaultlessly(_ arguments: [String]) async throws {
        let report = try await load(arguments)
        #expect(report["units"] ?? 0 > 0, "\(arguments): \(report)")
        for fault in ["lost", "doubled", "reordered", "errors", "broken"] {
            #expect(report[fault] == 0, "\(arguments): \(report)")
        }
    }
}
