// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A PostgreSQL cluster of our own for tests: a new directory, a Unix socket in it, no TCP.
///
/// PostgreSQL refuses to run as root: then it runs as the user `postgres`. The cluster is stopped and its directory
/// removed when the value goes, or the test process ends, in whatever way.
package final class PrivateCluster: Sendable {
    /// Holds the data in `data`, and the socket.
    package let directory: String
    private let binaries: String
    /// Removes the cluster when its standard input closes.
    private let janitor: ChildProcess

    /// Makes and starts a cluster. Without fsync, unless the settings say otherwise.
    package init(settings: [String: String] = [:]) throws {
        var template = Array("/tmp/jackdaw-pg-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw ChildProcess.Failure(description: "mkdtemp: error \(errno)")
        }
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let binaries = try Self.findBinaries()
        if Self.isRoot { try ChildProcess.run(["chown", "postgres:", directory]) }
        let end =
            "exec >/dev/null 2>&1; cat; \(binaries)/pg_ctl -D \(directory)/data -m immediate stop; rm -rf \(directory)"
        janitor = try ChildProcess(["setsid"] + Self.asUser(["sh", "-c", end]))
        self.directory = directory
        self.binaries = binaries
        try run([
            "initdb", "--pgdata=\(directory)/data", "--auth=trust", "--username=postgres", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        ])
        let defaults = [
            "unix_socket_directories": directory, "listen_addresses": "", "fsync": "off", "shared_buffers": "32MB",
            "max_connections": "300", "log_min_messages": "fatal",
        ]
        let lines = defaults.merging(settings) { $1 }.map { "\($0.key) = '\($0.value)'\n" }.joined()
        try ChildProcess.run(
            Self.asUser(["sh", "-c", "printf %s \"$1\" >> \"$0\"", "\(directory)/data/postgresql.conf", lines])
        )
        try start()
        try execute("CREATE ROLE jackdaw_sm LOGIN; CREATE ROLE jackdaw_c2s LOGIN")
    }

    deinit {
        janitor.closeInput()
        _ = janitor.wait()
    }

    // MARK: One for all tests of a run

    private static let theShared = Mutex<PrivateCluster?>(nil)
    private static let databases = Atomic<Int>(0)

    /// The cluster that all tests of this process share: make a database in it, and leave the rest alone.
    package static func shared() throws -> PrivateCluster {
        try theShared.withLock { cluster in
            if let cluster { return cluster }
            let made = try PrivateCluster()
            cluster = made
            return made
        }
    }

    // MARK: Use

    package func start() throws {
        try run(["pg_ctl", "--pgdata=\(directory)/data", "--wait", "--silent", "--log=\(directory)/log", "start"])
    }

    /// Stops the cluster: `fast` ends connections in order, `immediate` is a crash.
    package func stop(mode: String = "fast") throws {
        try run(["pg_ctl", "--pgdata=\(directory)/data", "--wait", "--silent", "--mode=\(mode)", "stop"])
    }

    /// Makes an empty database that belongs to the role of SM, and gives its name.
    package func makeDatabase() throws -> String {
        let name = "test_\(Self.databases.add(1, ordering: .relaxed).newValue)"
        try execute("CREATE DATABASE \(name) OWNER jackdaw_sm")
        return name
    }

    /// The connection string for a database and a role.
    package func url(_ database: String, role: String = "jackdaw_sm") -> String {
        "host=\(directory) dbname=\(database) user=\(role)"
    }

    /// Runs SQL through psql; gives the rows as lines, columns parted by `|`.
    @discardableResult
    package func execute(_ sql: String, in database: String = "postgres", role: String = "postgres") throws -> String {
        let arguments = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url(database, role: role), "-c", sql]
        let output = try ChildProcess.run(arguments)
        return output.hasSuffix("\n") ? String(output.dropLast()) : output
    }

    // MARK: Processes

    private func run(_ arguments: [String]) throws {
        let program = "\(binaries)/\(arguments.first ?? "")"
        try ChildProcess.run(Self.asUser([program] + arguments.dropFirst()))
    }

    private static var isRoot: Bool { geteuid() == 0 }

    private static func asUser(_ arguments: [String]) -> [String] {
        guard isRoot else { return arguments }
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] + arguments
    }

    /// Where Debian keeps the newest version's programs.
    private static func findBinaries() throws -> String {
        let newest = try ChildProcess.run(["sh", "-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"])
        return newest.split(separator: "\n").first.map(String.init) ?? "/usr/bin"
    }
}
