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
    private let sharedAccounts = Mutex<Set<String>>([])

    private static let starting = Mutex<Task<RunningSuite, any Error>?>(nil)

    /// The one suite that tests share; a test that kills processes starts its own with `start(c2s:configuration:)`.
    static func shared() async throws -> RunningSuite {
        let task = starting.withLock { starting in
            if let starting { return starting }
            // Small, because hostile input comes byte by byte.
            let task = Task { try await start(c2s: "  limits:\n    stanza_bytes_before_login: 16KiB") }
            starting = task
            return task
        }
        return try await task.value
    }

    /// Starts router, SM and C2S.
    ///
    /// - Parameters:
    ///   - c2s: lines of the section `c2s`, beside its listeners.
    ///   - configuration: further sections.
    ///   - instances: C2S processes.
    ///   - routers: router processes.
    ///   - managers: SM processes.
    ///   - cluster: a PostgreSQL of its own, for a test that stops it.
    static func start(
        c2s: String = "",
        configuration: String = "",
        instances: Int = 1,
        routers: Int = 1,
        managers: Int = 1,
        cluster: PrivateCluster? = nil
    ) async throws -> RunningSuite {
        let configuration = configuration + "\nsupervisor:\n  s2s: 0\n  router: \(routers)\n"
        // A port that was free when it was chosen may be taken when a process listens.
        for _ in 0..<2 {
            let suite = try? await launch(c2s, configuration, instances, routers, managers, cluster)
            if let suite { return suite }
        }
        return try await launch(c2s, configuration, instances, routers, managers, cluster)
    }

    private static func launch(
        _ c2s: String,
        _ configuration: String,
        _ instances: Int,
        _ routers: Int,
        _ managers: Int,
        _ cluster: PrivateCluster?
    ) async throws -> RunningSuite {
        let suite = try await RunningSuite(cluster: cluster ?? PrivateCluster.shared())
        try suite.writeFiles(c2s: c2s, configuration)
        for number in 1...routers { try suite.launch("router-\(number)") }
        for number in 1...managers { try suite.launch("sm-\(number)") }
        for number in 1...instances { try suite.launch("c2s-\(number)") }
        for name in suite.processes.withLock({ $0.keys.sorted() }) { try await suite.awaitReady(name) }
        return suite
    }

    private init(cluster: PrivateCluster) async throws {
        directory = try TemporaryDirectory.make("suite")
        self.cluster = cluster
        database = try cluster.makeDatabase()
        (clientPort, directTLSPort, componentPort) = try (FreePort.next(), FreePort.next(), FreePort.next(run: 4))
        httpPorts = try ["router": FreePort.next(run: 4), "sm": FreePort.next(run: 4), "c2s": FreePort.next(run: 8)]
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
    func launch(_ name: String, configuration: String = "jackdaw.yml") throws {
        let kind = name.prefix { $0 != "-" }
        let process = try SuiteProcess(
            executable: Self.binary("jackdaw-\(kind)"),
            arguments: ["--config", "\(directory)/\(configuration)", "--instance", name],
            log: "\(directory)/\(name).log"
        )
        processes.withLock { $0[name] = process }
    }

    /// Waits for `/ready`, or until it says otherwise, with a bound that only a broken process meets.
    func awaitReady(_ name: String, _ isWanted: Bool = true) async throws {
        for _ in 0..<600 {
            if try await isReady(name) == isWanted { return }
            guard try process(name).isRunning else { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        let log = processes.withLock { $0.keys.sorted() }.map { (try? self.log($0)) ?? "" }.joined()
        let reason = (try? await http(name, "/ready").body) ?? "no answer"
        throw Failure(
            description: "\(name) is\(isWanted ? " not" : "") ready: \(reason); the logs:\n\(log.suffix(4_000))"
        )
    }

    /// What a process has written so far, all its lives together.
    func log(_ name: String) throws -> String {
        try String(contentsOfFile: "\(directory)/\(name).log", encoding: .utf8)
    }

    /// An account that no other test uses.
    func addAccount(
        named name: String,
        domain: String? = nil,
        password: String = "secret-1"
    ) async throws -> TestClient.Account {
        let number = accounts.withLock { count in
            count += 1
            return count
        }
        let account = TestClient.Account(user: "\(name)-\(number)", domain: domain ?? self.domain, password: password)
        let result = try await control(["user", "add", account.bareJID, "--password", password])
        guard result.status == 0 else { throw Failure(description: "user add: \(result.output)") }
        return account
    }

    /// An account that many tests may use.
    func sharedAccount(named name: String) async throws -> TestClient.Account {
        let account = TestClient.Account(user: name, domain: domain, password: "secret-1")
        let isNew = sharedAccounts.withLock { $0.insert(name).inserted }
        guard isNew else { return account }
        let result = try await control(["user", "add", account.bareJID, "--password", account.password])
        guard result.status == 0 else { throw Failure(description: "user add: \(result.output)") }
        return account
    }

    /// Runs `jackdawctl`.
    func control(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await SuiteProcess.run([Self.binary("jackdawctl")] + arguments + ["--config", "\(directory)/jackdaw.yml"])
    }

    /// Runs `jackdawctl --json`, which must succeed, and reads what it says.
    func controlRows(_ arguments: [String]) async throws -> [[String: String]] {
        let result = try await control(arguments + ["--json"])
        guard result.status == 0 else { throw Failure(description: "\(arguments): \(result.output)") }
        let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        let rows = value as? [[String: Any]] ?? (value as? [String: Any]).map { [$0] }
        guard let rows else { throw Failure(description: "\(arguments): not understood: \(result.output)") }
        return rows.map { $0.mapValues { "\($0)" } }
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

    static func binary(_ name: String) -> String {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        return own.appendingPathComponent(name).path
    }
}
