// SPDX-License-Identifier: Apache-2.0

import Logging
package import NIOCore
import NIOPosix
package import Storage

/// A ``Database`` on a loop of its own, for tests that wait with `await`.
package final class DatabaseFixture: Sendable {
    package let loop: any EventLoop
    private let database: NIOLoopBound<Database>
    private let changes = AsyncStream<Bool>.makeStream()

    package init(_ url: String, configure: (inout DatabaseConfiguration) -> Void = { _ in }) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        var configuration = DatabaseConfiguration(url: url, applicationName: "tests")
        configure(&configuration)
        let ready = configuration
        let changes = changes
        self.loop = loop
        database = try await loop.submit {
            var logger = Logger(label: "storage")
            logger.logLevel = .critical
            let database = Database(configuration: ready, eventLoop: loop, logger: logger)
            database.onAvailabilityChange { changes.continuation.yield($0) }
            database.start()
            return NIOLoopBound(database, eventLoop: loop)
        }.get()
    }

    /// Calls the database on its loop, and waits for the answer.
    package func on<Value: Sendable>(
        _ body: @escaping @Sendable (Database) -> EventLoopFuture<Value>
    ) async throws -> Value {
        let database = database
        return try await loop.flatSubmit { body(database.value) }.get()
    }

    /// Runs SQL without parameters, under a name of its own.
    package func run(_ sql: String, on lane: Lane = .write("")) async throws -> [Row] {
        try await on { $0.query(Statement(sql, sql), on: lane) }
    }

    /// Waits until the database says that it is available, or that it is not.
    package func becomes(_ isAvailable: Bool) async throws {
        let database = database
        var changes = changes.stream.makeAsyncIterator()
        while try await loop.submit({ database.value.isAvailable }).get() != isAvailable {
            _ = await changes.next()
        }
    }

    /// Whether a request fails with ``DatabaseError/unavailable`` before the call that makes it returns.
    package func failsAtOnce() async throws -> Bool {
        let database = database
        return try await loop.submit {
            var error: DatabaseError?
            database.value.query(Statement("one", "SELECT 1"), on: .write("")).assumeIsolated().whenFailure {
                error = $0 as? DatabaseError
            }
            return error == .unavailable
        }.get()
    }

    /// Ends the connections.
    package func shutdown() async throws {
        try await on { $0.shutdown() }
    }
}

/// The error of a future that must fail.
package func failure<Value>(_ body: () async throws -> Value) async -> DatabaseError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? DatabaseError
    }
}
