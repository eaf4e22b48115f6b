// SPDX-License-Identifier: Apache-2.0

package import NIOCore

extension Database {
    /// How often the version is asked for.
    private static let pollInterval = TimeAmount.milliseconds(250)

    /// Completes when the schema has at least the version; polls while it is older, missing or out of reach.
    ///
    /// Fails with ``DatabaseError/schemaTooNew(found:known:)`` when it is newer than this program knows, with
    /// ``DatabaseError/unavailable`` when the database is shut down meanwhile.
    package func waitForSchema(_ version: Int = Schema.version) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        pollSchema(version, promise)
        return promise.futureResult
    }

    private func pollSchema(_ version: Int, _ promise: EventLoopPromise<Void>) {
        let database = NIOLoopBound(self, eventLoop: eventLoop)
        query(Self.readVersion, on: .read).whenComplete { result in
            let found = (try? result.get())?.first?.int(0) ?? 0
            if found > Schema.version {
                promise.fail(DatabaseError.schemaTooNew(found: Int(found), known: Schema.version))
            } else if found >= version {
                promise.succeed()
            } else if database.value.isClosing {
                promise.fail(DatabaseError.unavailable)
            } else {
                database.value.eventLoop.scheduleTask(in: Self.pollInterval) {
                    database.value.pollSchema(version, promise)
                }
            }
        }
    }

    private static let readVersion = Statement("read_schema_version", "SELECT max(version) FROM schema_version")
}
