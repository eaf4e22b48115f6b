// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Testing

@testable import Ctl

/// Lists that come page by page.
@Suite struct PagesTests {
    /// A list of so many rows, of which one answer holds fewer and fewer.
    private final class Server {
        let rows: Int
        private(set) var requests: [String] = []

        init(rows: Int) { self.rows = rows }

        func ask(_ arguments: [AdminField]) -> [[AdminField]] {
            requests.append(arguments.map { "\($0.name)=\($0.value)" }.joined(separator: " "))
            let start = arguments.first { $0.name == "after" }.flatMap { Int($0.value) } ?? 0
            let count = min(rows - start, max(1, 8 - requests.count))
            return (0..<count).map { [AdminField("user", String(start + $0 + 1))] }
        }
    }

    private func all(_ server: Server) async throws -> [String] {
        try await AdminClient.pages([AdminField("domain", "d")], key: "user") { server.ask($0) }
            .compactMap { $0.first?.value }
    }

    @Test(arguments: [0, 1, 7, 8, 13, 40]) func everyRowComesOnceAndInOrder(rows: Int) async throws {
        let server = Server(rows: rows)
        #expect(try await all(server) == (0..<rows).map { String($0 + 1) })
    }

    @Test func thePagesEndWithOneThatHasNoRow() async throws {
        let server = Server(rows: 13)
        _ = try await all(server)
        #expect(server.requests == ["domain=d", "domain=d after=7", "domain=d after=13"])
    }

    @Test func aListThatDoesNotGoOnEnds() async throws {
        let rows = try await AdminClient.pages([], key: "user") { _ in [[AdminField("user", "1")]] }
        #expect(rows.count == 2)
    }

    @Test func aRefusalIsPassedOn() async {
        await #expect(throws: Refusal.self) {
            try await AdminClient.pages([], key: "user") { _ in throw Refusal(refused: "no") }
        }
    }
}
