// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore

/// A process's connections to PostgreSQL.
///
/// Confined to its event loop: all calls are made there and all answers arrive there. Each connection is driven by a
/// thread of its own (``ConnectionWorker``); what is asked for within one turn of the loop is handed over at once, and
/// answers come back in batches.
///
/// *Group commit*: what waits in a connection's queue is sent together and shares one transaction and so one fsync.
/// When a member fails, nothing of the group is kept: the others run again without it, and it runs alone; so each
/// request succeeds or fails as if it had been alone, in the order of the requests.
///
/// *Away*: a lost connection is made again with a growing delay. Requests wait up to
/// ``DatabaseConfiguration/patience`` for it, then fail with ``DatabaseError/unavailable``, and so do later ones at
/// once. What was sent when the connection broke is sent again if it is repeatable (``Statement/isRepeatable``), else
/// it fails the same way: its outcome is unknown.
package final class Database {
    package let configuration: DatabaseConfiguration
    package let eventLoop: any EventLoop
    private let logger: Logger

    package init(configuration: DatabaseConfiguration, eventLoop: any EventLoop, logger: Logger) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
    }

    /// Starts the threads; connections are made in the background.
    package func start() {}

    /// Whether all connections are up, or have been lost for less than the patience.
    package private(set) var isAvailable = false

    /// Calls back, on the loop, whenever ``isAvailable`` changes.
    package func onAvailabilityChange(_ callback: @escaping (Bool) -> Void) {}

    /// Runs one statement and gives its rows.
    package func query(_ statement: Statement, _ values: [DatabaseValue] = [], on lane: Lane) -> EventLoopFuture<[Row]>
    {
        transaction([Request(statement, values)], on: lane).map { $0.first?.rows ?? [] }
    }

    /// Runs one statement and gives the number of rows that it changed.
    package func execute(_ statement: Statement, _ values: [DatabaseValue] = [], on lane: Lane) -> EventLoopFuture<Int>
    {
        transaction([Request(statement, values)], on: lane).map { $0.first?.affected ?? 0 }
    }

    /// Runs the requests in order and atomically: either all take effect or none.
    package func transaction(_ requests: [Request], on lane: Lane) -> EventLoopFuture<[StatementResult]> {
        eventLoop.makeFailedFuture(DatabaseError.unavailable)
    }

    /// Runs requests that do not depend on each other: each succeeds or fails alone, in order.
    package func write(_ requests: [Request], on lane: Lane) -> [EventLoopFuture<StatementResult>] {
        requests.map { request in
            transaction([request], on: lane).map { $0.first ?? StatementResult(rows: [], affected: 0) }
        }
    }

    /// Completes when the schema has at least the version; polls while it is older, missing or out of reach.
    ///
    /// Fails with ``DatabaseError/schemaTooNew(found:known:)`` when it is newer than this program knows.
    package func waitForSchema(_ version: Int = Schema.version) -> EventLoopFuture<Void> {
        eventLoop.makeFailedFuture(DatabaseError.unavailable)
    }

    /// Runs what is queued, within ``DatabaseConfiguration/shutdownTimeout``, and ends the threads.
    package func shutdown() -> EventLoopFuture<Void> {
        eventLoop.makeSucceededVoidFuture()
    }
}
