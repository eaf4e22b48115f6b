// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Storage

/// The members and their maps in PostgreSQL. What its functions do is said in the migration that makes them.
struct OwnershipStore: OwnershipStorage {
    /// A database of its own (``configuration(_:)``): a heartbeat must not wait behind other work.
    let database: Database

    /// The connections that it needs: one for heartbeats, one for changes, which wait for connections to end. They give
    /// up soon and come back soon, since peers count the time.
    static func configuration(_ configuration: DatabaseConfiguration) -> DatabaseConfiguration {
        var own = configuration
        own.readConnections = 1
        own.writeConnections = 1
        own.connectTimeout = min(own.connectTimeout, .seconds(2))
        own.statementTimeout = .seconds(5)
        own.responseTimeout = .seconds(6)
        own.patience = .seconds(1)
        own.longestRetryDelay = .milliseconds(500)
        own.shutdownTimeout = .seconds(1)
        return own
    }

    /// Heartbeats have the reading connection for themselves; they may be sent twice.
    private static let beats = Lane.read
    private static let changes = Lane.anyEpoch("")

    func join(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipMap> {
        let values: [DatabaseValue] = [
            .text(member.name), .text(member.incarnation), .text(member.application), .int(Int64(clamping: known)),
        ]
        let requests = [Request(.joinOwners, values), Request(.readNewestMap)]
        return database.transaction(requests, on: Self.changes).flatMapThrowing { results in
            guard let map = results.last?.rows.first.flatMap({ Self.map($0) }) else {
                throw DatabaseError.unexpectedResult(statement: Statement.readNewestMap.name)
            }
            return map
        }
    }

    func leave(_ member: OwnershipMember) -> EventLoopFuture<Void> {
        let values: [DatabaseValue] = [.text(member.name), .text(member.incarnation)]
        return database.execute(.leaveOwners, values, on: Self.changes).map { _ in }
    }

    func beat(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipReading> {
        // The maps come first: if we are a member afterwards, we were one in each of them.
        let requests = [
            Request(.commitWithoutWaiting),
            Request(.readNewMaps, [.int(Int64(clamping: known))]),
            Request(.beat, [.text(member.name), .text(member.incarnation)]),
        ]
        return database.transaction(requests, on: Self.beats).flatMapThrowing { results in
            guard results.count == 3, let reading = Self.reading(maps: results[1].rows, beat: results[2].rows) else {
                throw DatabaseError.unexpectedResult(statement: Statement.beat.name)
            }
            return reading
        }
    }

    func evict(_ peers: [OwnershipPeer]) -> EventLoopFuture<Void> {
        let values: [DatabaseValue] = [
            .texts(peers.map(\.name)), .texts(peers.map(\.incarnation)), .texts(peers.map { String($0.heartbeat) }),
        ]
        return database.execute(.evictOwners, values, on: Self.changes).map { _ in }
    }

    // MARK: Rows

    private static func map(_ row: Row) -> OwnershipMap? {
        guard let epoch = row.int(0).flatMap({ UInt64(exactly: $0) }), let names = row.texts(1) else { return nil }
        return OwnershipMap(epoch: epoch, instances: names)
    }

    private static func reading(maps: [Row], beat: [Row]) -> OwnershipReading? {
        let maps = maps.compactMap { map($0) }
        guard let first = beat.first, let isMember = first.bool(0), let epoch = first.int(1) else { return nil }
        let peers = beat.compactMap { row -> OwnershipPeer? in
            guard let name = row.text(2), let incarnation = row.text(3), let heartbeat = row.int(4) else { return nil }
            return OwnershipPeer(name: name, incarnation: incarnation, heartbeat: heartbeat)
        }
        return OwnershipReading(isMember: isMember, epoch: UInt64(clamping: epoch), maps: maps, peers: peers)
    }
}

extension Statement {
    fileprivate static let joinOwners = Statement(
        "join_owners",
        isRepeatable: true,
        "SELECT owner_join($1, $2, $3, $4)"
    )
    fileprivate static let leaveOwners = Statement("leave_owners", isRepeatable: true, "SELECT owner_leave($1, $2)")
    fileprivate static let evictOwners = Statement("evict_owners", isRepeatable: true, "SELECT owner_evict($1, $2, $3)")
    fileprivate static let readNewestMap = Statement(
        "read_newest_map",
        isRepeatable: true,
        "SELECT epoch, instances FROM owner_maps ORDER BY epoch DESC LIMIT 1"
    )
    fileprivate static let readNewMaps = Statement(
        "read_new_maps",
        isRepeatable: true,
        "SELECT epoch, instances FROM owner_maps WHERE epoch > $1 ORDER BY epoch"
    )
    /// A heartbeat that a crash takes back does no harm, and is not worth an fsync each second.
    fileprivate static let commitWithoutWaiting = Statement(
        "commit_without_waiting",
        isRepeatable: true,
        "SELECT set_config('synchronous_commit', 'off', true)"
    )
    /// A row for each member, at least one. The update waits for whoever is evicting us, and then finds nothing.
    fileprivate static let beat = Statement(
        "beat",
        isRepeatable: true,
        """
        WITH beat AS (
            UPDATE owner_instances SET heartbeat = heartbeat + 1 WHERE name = $1 AND incarnation = $2 RETURNING true
        )
        SELECT EXISTS (SELECT FROM beat), e.epoch, i.name, i.incarnation, i.heartbeat
        FROM owner_epoch e LEFT JOIN owner_instances i ON true WHERE e.one
        """
    )
}
