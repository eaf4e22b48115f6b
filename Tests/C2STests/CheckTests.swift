// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import Storage
import TestSupport
import Testing

@testable import C2S

@Suite struct CheckTests {
    /// What `--check` says of the database, for these connection strings.
    private func finding(sm: String, credentials: String) async throws -> CheckFinding {
        var configuration = JackdawConfiguration()
        configuration.database.url = Secret(sm)
        configuration.database.credentialsURL = Secret(credentials)
        let context = DaemonContext(
            instance: InstanceName(kind: .c2s),
            configuration: configuration,
            group: .singleton,
            threadPool: .singleton,
            logger: Logger(label: "check")
        )
        return try #require(await C2SCheck.run(context).first { $0.subject == "database" })
    }

    @Test func `the role that reads credentials is tried`() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        let configuration = DatabaseConfiguration(url: cluster.url(name), applicationName: "tests")
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        _ = try await Migrator.migrate(configuration, on: loop, logger: Logger(label: "tests")).get()

        let role = cluster.url(name, role: "jackdaw_c2s")
        let good = try await finding(sm: cluster.url(name), credentials: role)
        #expect(good.severity == .ok, "\(good)")
        try cluster.execute("REVOKE CONNECT ON DATABASE \(name) FROM jackdaw_c2s")
        let bad = try await finding(sm: cluster.url(name), credentials: role)
        #expect(bad.severity == .error)
        #expect(bad.text.contains("permission denied for database"), "\(bad)")
    }
}
