// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import NIOCore
import Storage
import TestSupport
import Testing
import XMPPCore

@testable import SM

/// Measures, with fsync, how many messages a second the spool takes. Not a verdict: runs only when asked for
/// (`JACKDAW_MEASURE=1 swift test --disable-xctest --filter SpoolRate`), and prints.
@Suite struct SpoolRate {
    /// So many messages are under way at any time.
    private static let inFlight = 1000
    private static let isWanted = unsafe getenv("JACKDAW_MEASURE") != nil

    @Test(
        "Stored messages a second",
        .enabled(if: isWanted),
        arguments: [(100, 100, 300), (100, 900, 300), (10_000, 2, 2000)]
    )
    func rate(users: Int, each: Int, size: Int) async throws {
        let cluster = try PrivateCluster(settings: ["fsync": "on", "shared_buffers": "128MB"])
        let name = try cluster.makeDatabase()
        let database = try await DatabaseFixture(cluster.url(name)) {
            $0.queuedRequests = 1_000_000
            $0.queuedBytes = 1 << 30
        }
        let loop = database.loop
        _ = try await database.on { Migrator.migrate($0.configuration, on: loop, logger: Logger(label: "m")) }
        try cluster.execute(
            "INSERT INTO users (local, domain) SELECT 'u' || n, 'localhost' FROM generate_series(1, \(users)) n",
            in: name
        )
        let names = try (1...users).map { try BareJID(local: "u\($0)", domain: "localhost") }
        let stanza = ByteBuffer(bytes: (0..<size).map { UInt8($0 % 61 + 33) })
        for round in ["cold", "warm"] {
            let entries = (0..<each).flatMap { number in
                names.map { SpoolEntry(user: $0, stableID: "\(round)-\(number)", stored: 1, stanza: stanza) }
            }
            let start = NIODeadline.now()
            let count = try await database.on { database in
                let store = SpoolStore(database: database)
                let chains = (0..<Self.inFlight).map { append(entries[...].dropFirst($0), to: store, on: loop) }
                return EventLoopFuture.whenAllSucceed(chains, on: loop).map { $0.reduce(0, +) }
            }
            let seconds = Double((NIODeadline.now() - start).nanoseconds) / 1e9
            print("\(users) users, \(count) rows of \(size) bytes, \(round): \(Int(Double(count) / seconds)) rows/s")
        }
        try await database.shutdown()
    }

    /// Appends every so-many-th entry, one after the other, and counts those that are kept.
    private func append(
        _ entries: ArraySlice<SpoolEntry>,
        to store: SpoolStore,
        on loop: any EventLoop
    )
        -> EventLoopFuture<Int>
    {
        guard let entry = entries.first else { return loop.makeSucceededFuture(0) }
        let rest = entries.dropFirst(Self.inFlight)
        let bound = NIOLoopBound((store, self), eventLoop: loop)
        return store.append(entry, quota: 100_000).flatMap { outcome in
            let (store, suite) = bound.value
            return suite.append(rest, to: store, on: loop).map { $0 + (outcome.isStored ? 1 : 0) }
        }
    }
}
