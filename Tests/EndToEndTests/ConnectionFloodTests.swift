// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing
import XML

extension OwnSuites {
    /// 2,000 connections from 200 addresses that never log in, and one client that does: those that stand still give
    /// way when the places before login are taken, the last ones go at the timeout.
    @Suite(.serialized) struct ConnectionFloodTests {
        /// How far a connection goes before it falls silent.
        enum Stage: CaseIterable, Sendable {
            case silent, silentDirectTLS, halfHelloDirectTLS, halfHelloStartTLS, opened, halfSASL
        }

        /// The time to log in: the default of 30 s costs a run that long.
        static let loginTimeout = ProcessInfo.processInfo.environment["JACKDAW_LONG_TESTS"] == nil ? 20 : 30

        @Test func silentConnectionsAreDroppedWhileOthersLogIn() async throws {
            try FileLimit.raise(to: 8_192)
            let timeouts = "  timeouts:\n    login: \(Self.loginTimeout)s"
            let suite = try await RunningSuite.start(c2s: timeouts)
            let account = try await suite.addAccount(named: "juliet")
            try await login(account, suite)
            let process = try suite.process("c2s-1")
            let memory = try process.startMemoryMeasurement()
            let dropped = Counter()
            let first = ContinuousClock.now
            let connections = try await openAll(suite, dropped)
            let last = ContinuousClock.now
            let connected = try process.processorTime()

            var times: [Duration] = []
            for _ in 0..<5 { times.append(try await ContinuousClock().measure { try await login(account, suite) }) }
            #expect(times.sorted()[2] < .seconds(1), "a login took \(times)")

            while dropped.value < connections.count, ContinuousClock.now - last < .seconds(Self.loginTimeout + 5) {
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(dropped.value == connections.count)
            let idle = try process.processorTime() - connected
            let growth = try process.peakMemory() - memory
            print(
                "flood: \(connections.count) connections in \(last - first), logins \(times), growth \(growth >> 10) KiB,",
                "CPU \(idle) until the last was dropped"
            )
            #expect(idle < .seconds(Self.loginTimeout) / 4)
            #expect(growth < 16 << 20, "\(growth >> 10) KiB")
            try await login(account, suite)
            for connection in connections { await connection.breakConnection() }
            suite.stop()
        }

        @Test func aClientThatTakesTooLongIsTold() async throws {
            let suite = try await RunningSuite.start(c2s: "  timeouts:\n    login: 1s")
            let silent = try await TestClient.connect(port: suite.clientPort)
            #expect(try await silent.streamError() == "connection-timeout")
            let slow = try await TestClient.connect(port: suite.clientPort)
            try await slow.openStream(to: suite.domain)
            try await slow.startTLS()
            try await slow.openStream(to: suite.domain)
            #expect(try await slow.streamError() == "connection-timeout")
            let unbound = try await TestClient.connect(port: suite.clientPort)
            try await unbound.authenticate(suite.addAccount(named: "unbound"))
            #expect(try await unbound.streamError() == "connection-timeout")
            suite.stop()
        }

        private func login(_ account: TestClient.Account, _ suite: RunningSuite) async throws {
            let client = try await TestClient.connect(port: suite.clientPort)
            try await client.authenticate(account)
            try await client.bind(nil)
            await client.breakConnection()
        }

        /// Ten connections from each of 200 addresses, 20 addresses at a time.
        private func openAll(_ suite: RunningSuite, _ dropped: Counter) async throws -> [TestClient] {
            var connections: [TestClient] = []
            for block in 0..<10 {
                connections += try await withThrowingTaskGroup(of: [TestClient].self) { group in
                    for address in block * 20..<block * 20 + 20 {
                        group.addTask {
                            var opened: [TestClient] = []
                            for number in 0..<10 {
                                let stage = Stage.allCases[(address + number) % Stage.allCases.count]
                                opened.append(try await open(stage, from: "127.0.7.\(address + 1)", suite, dropped))
                            }
                            return opened
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
            }
            return connections
        }

        private func open(
            _ stage: Stage,
            from source: String,
            _ suite: RunningSuite,
            _ dropped: Counter
        ) async throws -> TestClient {
            let isDirect = stage == .silentDirectTLS || stage == .halfHelloDirectTLS
            let port = isDirect ? suite.directTLSPort : suite.clientPort
            let client = try await TestClient.connect(port: port, source: source) { dropped.increment() }
            switch stage {
            case .silent, .silentDirectTLS: break
            case .halfHelloDirectTLS: try await client.send(bytes: Self.halfHello)
            case .halfHelloStartTLS:
                try await client.openStream(to: suite.domain)
                try await client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                guard try await client.element().name == "proceed" else { throw TestClient.Failure("no TLS") }
                try await client.send(bytes: Self.halfHello)
            case .opened, .halfSASL:
                try await client.openStream(to: suite.domain)
                try await client.startTLS()
                try await client.openStream(to: suite.domain)
                guard stage == .halfSASL else { return client }
                try await client.send(
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>"
                        + Data("n,,n=juliet,r=abcdefghijklmnop".utf8).base64EncodedString() + "</auth>"
                )
                guard try await client.element().name == "challenge" else { throw TestClient.Failure("no challenge") }
            }
            return client
        }

        /// The first bytes of a TLS client's greeting of 512 bytes.
        private static let halfHello: [UInt8] =
            [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03] + Array(repeating: 0x5A, count: 100)
    }
}

/// Counts from any thread.
final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func increment() { count.add(1, ordering: .relaxed) }
}

/// The number of files that this process and those that it starts may have open.
enum FileLimit {
    static func raise(to wanted: UInt) throws {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw RunningSuite.Failure(description: "getrlimit: error \(errno)")
        }
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(wanted, limit.rlim_max)
        guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw RunningSuite.Failure(description: "setrlimit: error \(errno)")
        }
    }
}
