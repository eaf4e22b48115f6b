// SPDX-License-Identifier: Apache-2.0

import Daemon
import NIOCore
import Storage

/// Whether the database answers, for `--check`.
enum DatabaseCheck {
    /// Connects, and waits a few seconds at most.
    static func finding(_ configuration: DatabaseConfiguration, _ context: DaemonContext) async -> CheckFinding {
        let loop = context.eventLoop
        let logger = context.logger
        let promise = loop.makePromise(of: Bool.self)
        let timeout = loop.scheduleTask(in: .seconds(5)) { promise.succeed(false) }
        let database = try? await loop.submit {
            let database = Database(configuration: configuration, eventLoop: loop, logger: logger)
            database.onAvailabilityChange { if $0 { promise.succeed(true) } }
            database.start()
            return NIOLoopBound(database, eventLoop: loop)
        }.get()
        let answers = (try? await promise.futureResult.get()) ?? false
        timeout.cancel()
        if let database { try? await loop.flatSubmit { database.value.shutdown() }.get() }
        return answers
            ? CheckFinding(.ok, "database", "it answers")
            : CheckFinding(.error, "database", "it does not answer within 5 s")
    }
}
