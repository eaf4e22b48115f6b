// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One attempt to use the database, for `--check`: connects once, asks, and ends the connection.
package enum DatabaseProbe {
    /// What the role of the connection is for.
    package enum Purpose: Sendable {
        /// SM's role, which owns the schema.
        case everything
        /// C2S's role, which reads credentials only.
        case credentials
    }

    package enum Answer: Sendable, Equatable, CustomStringConvertible {
        /// The role can do its work on the schema of this version.
        case usable(schema: Int)
        /// It answers, but SM has not made the schema yet.
        case empty
        /// Why it cannot be used, in the words of libpq or the server.
        case unusable(reason: String)

        package var isUsable: Bool {
            if case .unusable = self { false } else { true }
        }

        package var description: String {
            switch self {
            case .usable(let version): "it answers, its schema has version \(version)"
            case .empty: "it answers; SM makes the schema when it starts"
            case .unusable(let reason): reason
            }
        }
    }

    /// Somebody waits in front of a terminal.
    private static let longestTime = TimeAmount.seconds(5)

    /// Asks on a thread of its own.
    package static func ask(
        _ configuration: DatabaseConfiguration,
        for purpose: Purpose,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Answer> {
        let promise = eventLoop.makePromise(of: Answer.self)
        var configuration = configuration
        configuration.connectTimeout = min(configuration.connectTimeout, longestTime)
        configuration.statementTimeout = min(configuration.statementTimeout, longestTime)
        // The first answer counts: a server may take the connection and then hang.
        let timeout = eventLoop.scheduleTask(in: longestTime * 3) {
            promise.succeed(.unusable(reason: "it took the connection, but does not answer"))
        }
        promise.futureResult.whenComplete { _ in timeout.cancel() }
        let isRunning = startThread { [configuration] in promise.succeed(ask(configuration, for: purpose)) }
        if !isRunning { promise.succeed(.unusable(reason: "no thread could be started")) }
        return promise.futureResult
    }

    private static func ask(_ configuration: DatabaseConfiguration, for purpose: Purpose) -> Answer {
        guard PQConnection.isConnectionString(configuration.url) else {
            return .unusable(reason: "the connection string cannot be read")
        }
        let connection: PQConnection
        do throws(PQConnection.Unreachable) {
            connection = try PQConnection.connect(configuration)
        } catch {
            return .unusable(reason: error.reason)
        }
        do throws(DatabaseError) {
            return try ask(connection, for: purpose)
        } catch {
            return .unusable(reason: error == .unavailable ? connection.errorMessage : error.description)
        }
    }

    private static func ask(_ connection: PQConnection, for purpose: Purpose) throws(DatabaseError) -> Answer {
        let exists = try connection.execute("SELECT to_regclass('schema_version') IS NOT NULL").rows.first?.bool(0)
        guard exists == true else { return .empty }
        let rows = try connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").rows
        let version = Int(rows.first?.int(0) ?? 0)
        guard version > 0 else { return .empty }
        guard version <= Schema.version else { throw .schemaTooNew(found: version, known: Schema.version) }
        let table =
            switch purpose {
            case .everything: "users"
            case .credentials: "credentials"
            }
        _ = try connection.execute("SELECT FROM \(table) LIMIT 1")
        return .usable(schema: version)
    }
}
