// SPDX-License-Identifier: Apache-2.0

import Glibc
package import Logging
package import NIOCore

/// Brings the schema up to date. Only the SM runs it; other processes wait (``Database/waitForSchema(_:)``).
package enum Migrator {
    /// Runs the missing migrations in one transaction and under an advisory lock, and gives the schema's version.
    ///
    /// Runs on a thread of its own and keeps trying while the database is out of reach. Fails when PostgreSQL refuses
    /// a step, and with ``DatabaseError/schemaTooNew(found:known:)`` for a schema from the future.
    package static func migrate(
        _ configuration: DatabaseConfiguration,
        on eventLoop: any EventLoop,
        logger: Logger
    ) -> EventLoopFuture<Int> {
        migrate(configuration, to: Schema.version, on: eventLoop, logger: logger)
    }

    /// Stops at an older version: tests make the schema of earlier releases that way.
    static func migrate(
        _ configuration: DatabaseConfiguration,
        to version: Int,
        on eventLoop: any EventLoop,
        logger: Logger
    ) -> EventLoopFuture<Int> {
        let promise = eventLoop.makePromise(of: Int.self)
        let isRunning = startThread {
            do throws(DatabaseError) {
                promise.succeed(try migrate(configuration, to: version, logger: logger))
            } catch {
                promise.fail(error)
            }
        }
        if !isRunning { promise.fail(DatabaseError.unavailable) }
        return promise.futureResult
    }

    /// Tries until the database answers, with a growing delay.
    private static func migrate(
        _ configuration: DatabaseConfiguration,
        to version: Int,
        logger: Logger
    ) throws(DatabaseError) -> Int {
        var configuration = configuration
        configuration.statementTimeout = .zero
        var delay = configuration.firstRetryDelay
        var hasWarned = false
        while true {
            do throws(Failure) {
                let connection = try connect(configuration)
                return try migrate(connection, to: version, logger: logger)
            } catch {
                switch error {
                case .refused(let error): throw error
                case .lost(let reason):
                    if !hasWarned { logger.warning("waiting for the database", metadata: ["reason": "\(reason)"]) }
                    hasWarned = true
                    usleep(UInt32(clamping: delay.nanoseconds / 1000))
                    delay = min(delay * 2, configuration.longestRetryDelay)
                }
            }
        }
    }

    private enum Failure: Error {
        /// Worth another attempt.
        case lost(String)
        case refused(DatabaseError)
    }

    private static func connect(_ configuration: DatabaseConfiguration) throws(Failure) -> PQConnection {
        do throws(PQConnection.Unreachable) {
            return try PQConnection.connect(configuration)
        } catch {
            throw .lost(error.reason)
        }
    }

    private static func migrate(
        _ connection: PQConnection,
        to version: Int,
        logger: Logger
    ) throws(Failure) -> Int {
        do throws(DatabaseError) {
            try connection.executeScript("BEGIN; SELECT pg_advisory_xact_lock(\(Schema.advisoryLock))")
            try connection.executeScript("SET LOCAL client_min_messages = warning")
            let exists = try connection.execute("SELECT to_regclass('schema_version') IS NOT NULL").rows.first?.bool(0)
            if exists != true { try connection.executeScript(Schema.versionTable) }
            let answer = try connection.execute("SELECT coalesce(max(version), 0) FROM schema_version")
            let found = Int(answer.rows.first?.int(0) ?? 0)
            guard found <= Schema.version else {
                throw DatabaseError.schemaTooNew(found: found, known: Schema.version)
            }
            for migration in Migration.all where migration.version > found && migration.version <= version {
                logger.info("migrating the schema", metadata: ["version": "\(migration.version)"])
                try connection.executeScript(migration.sql)
                try connection.executeScript("INSERT INTO schema_version (version) VALUES (\(migration.version))")
            }
            if version == Schema.version { try connection.executeScript(Schema.grants) }
            try connection.executeScript("COMMIT")
            return max(found, version)
        } catch {
            throw error == .unavailable ? .lost(connection.errorMessage) : .refused(error)
        }
    }
}
