// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// How a process reaches PostgreSQL, and its bounds.
package struct DatabaseConfiguration: Sendable {
    /// A libpq connection string or URI. What it sets wins over the settings below, save the application's name. It
    /// may hold a password: never log.
    package var url: String
    /// Shown in `pg_stat_activity`, of at most 63 bytes: the instance's name, and for an owner of users its incarnation
    /// (``applicationName(instance:incarnation:)``).
    package var applicationName: String
    package var readConnections = 2
    package var writeConnections = 2
    package var connectTimeout = TimeAmount.seconds(5)
    /// PostgreSQL ends a statement that takes longer.
    package var statementTimeout = TimeAmount.seconds(10)
    /// A connection that owes an answer for longer is given up: the server, or the way to it, hangs.
    package var responseTimeout = TimeAmount.seconds(30)
    /// How long requests wait for a connection that was lost before they fail with ``DatabaseError/unavailable``.
    /// From then on requests fail at once, until the connection is back.
    package var patience = TimeAmount.seconds(2)
    /// The delay between attempts to connect doubles from the first to the second.
    package var firstRetryDelay = TimeAmount.milliseconds(50)
    package var longestRetryDelay = TimeAmount.seconds(5)
    /// The bounds of each connection's queue, past which requests fail with ``DatabaseError/overloaded``.
    package var queuedRequests = 20_000
    package var queuedBytes = 64 * 1024 * 1024
    /// How much shares one transaction at most.
    package var groupRequests = 512
    package var groupBytes = 4 * 1024 * 1024
    /// How long a clean shutdown waits for what is queued.
    package var shutdownTimeout = TimeAmount.seconds(5)

    package init(url: String, applicationName: String) {
        self.url = url
        self.applicationName = applicationName
    }

    /// What the connections of one start of an instance are called, `sm-1 1k8x…`: another one of the same name may be
    /// there already when its peers end those of this one.
    package static func applicationName(instance: String, incarnation: String) -> String {
        // PostgreSQL cuts at 63 bytes. Names and incarnations of ours are ASCII and short.
        String(decoding: "\(instance.prefix(20)) \(incarnation)".utf8.prefix(63), as: UTF8.self)
    }
}
