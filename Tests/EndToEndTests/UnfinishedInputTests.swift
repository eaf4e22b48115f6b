// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

extension OwnSuites {
    /// What many clients that have not logged in begin and do not finish: all of it together has a bound.
    @Suite(.serialized) struct UnfinishedInputTests {
        /// What each of them sends, behind the header of its stream.
        enum Attack: CaseIterable, Sendable {
            case longText, names, attributeNames, header, record

            var isSecured: Bool { self != .longText }

            /// 64,000 bytes of an element, where it is not the header or the record.
            var text: String {
                switch self {
                case .longText: "<x>" + String(repeating: "y", count: 64_000)
                case .names: String(("<x>" + (0..<5_000).map { "<a\($0) b\($0)=''/>" }.joined()).prefix(64_000))
                case .attributeNames:
                    String(
                        ("<x>"
                            + (0..<200).map { element in
                                "<a" + (0..<60).map { " b\(element * 60 + $0)=''" }.joined() + "/>"
                            }.joined()).prefix(64_000)
                    )
                case .header, .record: ""
                }
            }

            /// Declarations that a stream may not need and has to remember.
            var declarations: String {
                guard self == .header else { return "" }
                return (0..<55).map { "xmlns:p\($0)='urn:\(String(repeating: "x", count: 490))\($0)'" }
                    .joined(separator: " ")
            }
        }

        @Test(arguments: Attack.allCases) func unfinishedInputIsBounded(_ attack: Attack) async throws {
            try FileLimit.raise(to: 8_192)
            let suite = try await RunningSuite.start()
            let account = try await suite.addAccount(named: "juliet")
            for _ in 0..<3 { try await login(account, suite) }
            let process = try suite.process("c2s-1")
            let before = try process.startMemoryMeasurement()
            let clients = try await withThrowingTaskGroup(of: [TestClient].self) { group in
                for address in 0..<8 {
                    group.addTask {
                        var clients: [TestClient] = []
                        for _ in 0..<47 {
                            clients.append(try await open(attack, from: "127.0.9.\(address + 1)", suite))
                        }
                        return clients
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let opened = try process.peakMemory() - before
            for client in clients { await send(attack, on: client) }
            // Whoever logs in is read after them, a few times.
            let times = try await (0..<3).asyncMap { _ in
                try await ContinuousClock().measure { try await login(account, suite) }
            }
            let growth = try process.peakMemory() - before
            print("unfinished: \(attack), opened \(opened >> 10) KiB, growth \(growth >> 10) KiB, logins \(times)")
            #expect(growth < HostileInputTests.bound, "\(growth >> 10) KiB, \(opened >> 10) KiB of it to open")
            #expect(times.allSatisfy { $0 < .seconds(1) }, "\(times)")
            for client in clients { await client.breakConnection() }
            suite.stop()
        }

        private func open(_ attack: Attack, from source: String, _ suite: RunningSuite) async throws -> TestClient {
            let port = attack.isSecured ? suite.directTLSPort : suite.clientPort
            let client = try await TestClient.connect(port: port, directTLS: attack.isSecured, source: source)
            if attack != .header { try await client.openStream(to: suite.domain) }
            return client
        }

        /// Those who gave way to others send in vain.
        private func send(_ attack: Attack, on client: TestClient) async {
            switch attack {
            case .header: _ = try? await client.openStream(to: "localhost", declarations: attack.declarations)
            case .record:
                let head: [UInt8] = [0x17, 0x03, 0x03, 0x40, 0x00]
                try? await client.send(belowTLS: head + Array(repeating: 0x5A, count: 16_000))
            default: try? await client.send(attack.text)
            }
        }

        private func login(_ account: TestClient.Account, _ suite: RunningSuite) async throws {
            let client = try await TestClient.login(account, to: suite).client
            await client.breakConnection()
        }
    }
}

extension Sequence {
    /// `map`, one after the other.
    func asyncMap<Value>(_ body: (Element) async throws -> Value) async rethrows -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await body(element)) }
        return values
    }
}
