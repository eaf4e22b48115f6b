// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOPosix
import Storage
import TestSupport
import Testing

@Suite struct ProbeTests {
    private let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()

    private func ask(_ url: String, for purpose: DatabaseProbe.Purpose) async throws -> DatabaseProbe.Answer {
        try await DatabaseProbe.ask(.init(url: url, applicationName: "tests"), for: purpose, on: loop).get()
    }

    private func reason(_ url: String, for purpose: DatabaseProbe.Purpose = .everything) async throws -> String {
        guard case .unusable(let reason) = try await ask(url, for: purpose) else { return "" }
        return reason
    }

    private func migrate(_ url: String) async throws {
        _ = try await Migrator.migrate(
            .init(url: url, applicationName: "tests"),
            on: loop,
            logger: Logger(label: "storage")
        ).get()
    }

    @Test func `each role is asked for what it needs`() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        #expect(try await ask(cluster.url(name), for: .everything) == .empty)
        #expect(try await ask(cluster.url(name, role: "jackdaw_c2s"), for: .credentials) == .empty)
        try await migrate(cluster.url(name))
        #expect(try await ask(cluster.url(name), for: .everything) == .usable(schema: Schema.version))
        let credentials = try await ask(cluster.url(name, role: "jackdaw_c2s"), for: .credentials)
        #expect(credentials == .usable(schema: Schema.version))

        let denied = try await reason(cluster.url(name, role: "jackdaw_c2s"), for: .everything)
        #expect(denied.contains("permission denied for table users"), "\(denied)")
        try cluster.execute("REVOKE SELECT ON credentials FROM jackdaw_c2s", in: name)
        let revoked = try await reason(cluster.url(name, role: "jackdaw_c2s"), for: .credentials)
        #expect(revoked.contains("permission denied for table credentials"), "\(revoked)")
    }

    @Test func `why there is no connection is told in the words of libpq and the server`() async throws {
        let cluster = try PrivateCluster.shared()
        let nobody = try await reason("host=/nonexistent dbname=jackdaw user=jackdaw_sm")
        #expect(nobody.contains("/nonexistent/.s.PGSQL.5432") && nobody.contains("No such file"), "\(nobody)")
        let stranger = try await reason(cluster.url("postgres", role: "stranger"))
        #expect(stranger.contains(#"role "stranger" does not exist"#), "\(stranger)")
        let elsewhere = try await reason(cluster.url("no_such_database"))
        #expect(elsewhere.contains(#"database "no_such_database" does not exist"#), "\(elsewhere)")
    }

    @Test func `a schema of the future is told`() async throws {
        let cluster = try PrivateCluster.shared()
        let name = try cluster.makeDatabase()
        try await migrate(cluster.url(name))
        try cluster.execute("INSERT INTO schema_version (version) VALUES (999)", in: name)
        #expect(try await reason(cluster.url(name)).contains("newer version of Jackdaw"))
    }

    @Test func `a connection string that cannot be read is not repeated`() async throws {
        for url in ["host=x hunter2", "postgresql://sm:hunter2@h:hunter2/x?hunter2"] {
            let reason = try await reason(url)
            #expect(!reason.isEmpty && !reason.contains("hunter2"), "\(reason)")
        }
    }
}
