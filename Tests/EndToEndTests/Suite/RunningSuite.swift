// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport

/// The real processes on free ports with a database of their own, started once for a test run.
final class RunningSuite: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let domain = "localhost"
    let secondDomain = "second.example"
    let componentName = "component.localhost"
    let componentSecret = "the secret of the test component"
    let otherComponentName = "other.localhost"
    let clientPort: Int
    let directTLSPort: Int
    let componentPort: Int
    /// The HTTP port of each kind's first instance.
    let httpPorts: [String: Int]
    let directory: String
    let cluster: PrivateCluster
    let database: String
    private let processes = Mutex<[String: SuiteProcess]>([:])
    private let accounts = Mutex(0)

    private static let starting = Mutex<Task<RunningSuite, any Error>?>(nil)

    /// The one suite that tests share; a test that kills processes starts its own with `start(configuration:)`.
    static func shared() async throws -> RunningSuite {
        let task = starting.withLock { starting in
            if let starting { return starting }
            let task = Task { try await start() }
            starting = task
            return task
        }
        return try await task.value
    }

    /// Starts router, SM and C2S; `configuration` is appended to the configuration file.
    static func start(configuration: String = "", c2s: Int = 1) async throws -> RunningSuite {
        let suite = try await RunningSuite()
        try suite.writeFiles(configuration)
        try suite.launch("router-1")
        try suite.launch("sm-1")
        for number in 1...c2s { try suite.launch("c2s-\(number)") }
        for name in suite.processes.withLock({ $0.keys.sorted() }) { try await suite.awaitReady(name) }
        return suite
    }

    private init() async throws {
        directory = try TemporaryDirectory.make(prefix: "jackdaw-suite")
        cluster = try PrivateCluster.shared()
        database = try cluster.makeDatabase()
        (clientPort, directTLSPort, componentPort) = try (FreePort.next(), FreePort.next(), FreePort.next())
        httpPorts = try ["router": FreePort.next(), "sm": FreePort.next(), "c2s": FreePort.next(run: 8)]
    }

    deinit { stop() }

    /// Ends every process; the directory goes with them.
    func stop() {
        for process in processes.withLock({ $0.values }) { process.kill(SIGKILL) }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func process(_ name: String) throws -> SuiteProcess {
        guard let process = processes.withLock({ $0[name] }) else { throw Failure(description: "no process \(name)") }
        return process
    }

    /// Starts a process, also one that was killed.
    func launch(_ name: String) throws {
        let kind = name.prefix { $0 != "-" }
        let process = try SuiteProcess(
            executable: Self.binary("jackdaw-\(kind)"),
            arguments: ["--config", "\(directory)/jackdaw.yml", "--instance", name],
            log: "\(directory)/\(name).log"
        )
        processes.withLock { $0[name] = process }
    }

    /// Waits for `/ready`, with a bound that only a broken process meets.
    func awaitReady(_ name: String) async throws {
        for _ in 0..<600 {
            if try await isReady(name) { return }
            guard try process(name).isRunning else { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        let log = processes.withLock { $0.keys.sorted() }.map { process in
            (try? String(contentsOfFile: "\(directory)/\(process).log", encoding: .utf8)) ?? ""
        }.joined()
        let reason = (try? await http(name, "/ready").body) ?? "no answer"
        throw Failure(description: "\(name) is not ready: \(reason); the logs:\n\(log.suffix(4_000))")
    }

    /// An account that no other test uses.
    func addAccount(
        named name: String,
        domain: String? = nil,
        password: String = "secret-1"
    ) async throws
        -> TestClient.Account
    {
        let number = accounts.withLock { count in
            count += 1
            return count
        }
        let account = TestClient.Account(user: "\(name)-\(number)", domain: domain ?? self.domain, password: password)
        let result = try await control(["user", "add", account.bareJID, "--password", password])
        guard result.status == 0 else { throw Failure(description: "user add: \(result.output)") }
        return account
    }

    /// Runs `jackdawctl`.
    func control(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await SuiteProcess.run([Self.binary("jackdawctl")] + arguments + ["--config", "\(directory)/jackdaw.yml"])
    }

    /// Gets a path of a process's loopback HTTP endpoint.
    func http(_ name: String, _ path: String) async throws -> (status: Int, body: String) {
        try await HTTPProbe.get(port: httpPort(name), path: path)
    }

    private func isReady(_ name: String) async throws -> Bool {
        (try? await http(name, "/ready").status) == 200
    }

    private func httpPort(_ name: String) throws -> Int {
        let parts = name.split(separator: "-")
        guard parts.count == 2, let number = Int(parts[1]), let base = httpPorts[String(parts[0])] else {
            throw Failure(description: "no HTTP port for \(name)")
        }
        return base + number - 1
    }

    private static func binary(_ name: String) -> String {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        return own.appendingPathComponent(name).path
    }
}
