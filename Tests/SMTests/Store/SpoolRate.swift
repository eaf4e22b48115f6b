// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

/// Measures, with fsync, how many messages a second the spool takes, without and with a fence. Not a verdict: runs only
/// when asked for (`JACKDAW_MEASURE=1 swift test --disable-xctest --filter SpoolRate`), and prints.
@Suite struct SpoolRate {
    private static let isWanted = unsafe getenv("JACKDAW_MEASURE") != nil

    struct Load: Sendable {
        var users: Int
        var each: Int
        var size: Int
        /// So many messages are under way at any time.
        var inFlight = 1000
    }

    @Test(
        "Stored messages a second",
        .enabled(if: isWanted),
        arguments: [
            Load(users: 100, each: 100, size: 300), Load(users: 100, each: 900, size: 300),
            Load(users: 10_000, each: 2, size: 2000), Load(users: 100, each: 20, size: 300, inFlight: 1),
            Load(users: 100, each: 100, size: 300, inFlight: 20),
        ]
    )
    func rate(load: Load) async throws {
        let cluster = try PrivateCluster(settings: ["fsync": "on", "shared_buffers": "128MB"])
        let name = try cluster.makeDatabase()
        let plain = try await database(cluster.url(name))
        let loop = plain.loop
        _ = try await plain.on { Migrator.migrate($0.configuration, on: loop, logger: Logger(label: "m")) }
        try cluster.execute(
            "INSERT INTO users (local, domain) SELECT 'u' || n, 'localhost' FROM generate_series(1, \(load.users)) n",
            in: name
        )
        try cluster.execute("SELECT owner_raise(0)", in: name, role: "jackdaw_sm")
        let fenced = try await database(cluster.url(name))
        try await fenced.on { database in
            database.fence(epoch: 1)
            return database.eventLoop.makeSucceededVoidFuture()
        }
        for round in 0..<7 {
            let kind = round == 0 ? "cold" : round % 2 == 0 ? "without a fence" : "with a fence"
            let rate = try await rate(of: load, round: round, round % 2 == 0 ? plain : fenced)
            print("\(load.users) users, \(load.size) bytes, \(load.inFlight) under way, \(kind): \(rate) rows/s")
        }
        for database in [plain, fenced] { try await database.shutdown() }
    }

    private func database(_ url: String) async throws -> DatabaseFixture {
        try await DatabaseFixture(url) {
            $0.queuedRequests = 1_000_000
            $0.queuedBytes = 1 << 30
        }
    }

    private func rate(of load: Load, round: Int, _ database: DatabaseFixture) async throws -> Int {
        let names = try (1...load.users).map { try BareJID(local: "u\($0)", domain: "localhost") }
        let stanza = ByteBuffer(bytes: (0..<load.size).map { UInt8($0 % 61 + 33) })
        let entries = (0..<load.each).flatMap { number in
            names.map { SpoolEntry(user: $0, stableID: "\(round)-\(number)", stored: 1, stanza: stanza) }
        }
        let loop = database.loop
        let start = NIODeadline.now()
        let count = try await database.on { database in
            let store = SpoolStore(database: database)
            let chains = (0..<load.inFlight).map { first in
                append(entries[...].dropFirst(first), every: load.inFlight, to: store, on: loop)
            }
            return EventLoopFuture.whenAllSucceed(chains, on: loop).map { $0.reduce(0, +) }
        }
        return Int(Double(count) / (Double((NIODeadline.now() - start).nanoseconds) / 1e9))
    }

    /// Appends every so-many-th entry, one after the other, and counts those that are kept.
    private func append(
        _ entries: ArraySlice<SpoolEntry>,
        every step: Int,
        to store: SpoolStore,
        on loop: any EventLoop
    ) -> EventLoopFuture<Int> {
        guard let entry = entries.first else { return loop.makeSucceededFuture(0) }
        let rest = entries.dropFirst(step)
        let bound = NIOLoopBound((store, self), eventLoop: loop)
        return store.append(entry, quota: 100_000).flatMap { outcome in
            let (store, suite) = bound.value
            return suite.append(rest, every: step, to: store, on: loop).map { $0 + (outcome.isStored ? 1 : 0) }
        }
    }
}
