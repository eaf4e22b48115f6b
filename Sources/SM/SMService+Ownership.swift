// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Daemon
import Logging
import NIOCore
import Storage

/// What makes the process one of those that share the users: the keeper of the map, and what follows from each new map.
final class Membership {
    let keeper: OwnershipKeeper
    private let database: Database
    private let server: SMServer
    private let main: Database
    private let me: String
    private var wasEvicted = false
    private let records: SessionRecordWriter

    /// The membership of a server; `main` is its database, whose writes are fenced, and `configuration` is for the keeper's
    /// own connections.
    init(
        _ server: SMServer,
        main: Database,
        configuration: DatabaseConfiguration,
        name: String,
        context: DaemonContext
    ) {
        self.server = server
        self.main = main
        me = name
        database = Database(
            configuration: OwnershipStore.configuration(configuration),
            eventLoop: context.eventLoop,
            logger: context.logger
        )
        keeper = OwnershipKeeper(
            instance: name,
            incarnation: context.epoch,
            application: configuration.applicationName,
            store: OwnershipStore(database: database),
            eventLoop: context.eventLoop,
            logger: context.logger
        )
        records = SessionRecordWriter(
            SessionRecordAuthor(instance: name, incarnation: context.epoch),
            store: SessionRecordStore(database: main),
            eventLoop: context.eventLoop,
            logger: context.logger
        )
        connect()
    }

    private func connect() {
        keeper.onChange = { [unowned self] map in
            let me = self.me
            let isKept = !wasEvicted
            wasEvicted = false
            main.renewFence(epoch: map.epoch) { isKept && map.owner(of: $0.utf8) == me }
            records.renewFence(epoch: map.epoch) { isKept && map.owner(of: $0) == me }
            server.mapChanged(map)
        }
        keeper.onEvicted = { [unowned self] in
            // What was asked for before belongs to a time that others have gone on from.
            wasEvicted = true
            server.evicted()
            join()
        }
        main.onFenced { [unowned self] in keeper.look() }
        records.liveSessions = { [unowned self] in server.sessionRecords }
        server.records = records
        server.whenMapIsOld = { [unowned self] in keeper.look() }
    }

    func start() {
        database.start()
        records.start()
        join()
    }

    private func join() {
        keeper.join().assumeIsolated().whenFailure { _ in }
    }

    /// Gives everything up in order: what is in memory only is written, then the map is changed, then the new owners are
    /// told that they need not wait.
    func leave() -> EventLoopFuture<Void> {
        let loop = database.eventLoop
        let left = server.depart().assumeIsolated().flatMap { departure -> EventLoopFuture<UInt64> in
            self.records.stop().assumeIsolated().flatMap { self.keeper.leave() }.nonisolated().map { departure.epoch }
        }.nonisolated()
        return left.assumeIsolated().map { self.server.tellReleased(under: $0) }.nonisolated()
            .flatMapError { _ in loop.makeSucceededVoidFuture() }
            .assumeIsolated().flatMap { self.database.shutdown() }.nonisolated()
    }
}
