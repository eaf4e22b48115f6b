// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Every file in `Scenarios/` is a test.
@Suite struct ScenarioTests {
    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return files.filter { $0.hasSuffix(".scenario") }.map { String($0.dropLast(9)) }.sorted()
    }()

    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Scenarios").path

    @Test func thereAreScenarios() {
        #expect(Self.names.count > 20)
    }

    @Test(arguments: names) func scenario(_ name: String) async throws {
        let text = try String(contentsOfFile: "\(Self.directory)/\(name).scenario", encoding: .utf8)
        let scenario = try Scenario(name: name, text: text)
        try await ScenarioRunner(suite: RunningSuite.shared(), scenario: scenario).run()
    }
}
