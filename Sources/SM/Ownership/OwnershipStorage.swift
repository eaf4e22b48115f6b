// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore

/// One start of an instance that shares the users.
struct OwnershipMember: Sendable, Equatable {
    /// Its name on the router, `sm-1.jackdaw.internal`.
    var name: String
    /// The random string of this start.
    var incarnation: String
    /// The `application_name` of its database connections: whoever evicts it ends those.
    var application: String
}

/// A member as it was read: it lives as long as the heartbeat changes.
struct OwnershipPeer: Sendable, Equatable {
    var name: String
    var incarnation: String
    var heartbeat: Int64
}

/// What one look at the database showed.
struct OwnershipReading: Sendable, Equatable {
    /// Whether our own row was there, with our incarnation, after the maps were read.
    var isMember: Bool
    /// The epoch, read after the maps.
    var epoch: UInt64
    /// The maps since the epoch that we knew, in order.
    var maps: [OwnershipMap]
    /// All members, ourselves included.
    var peers: [OwnershipPeer]
}

/// The members and their maps in the database. Each change of the members raises the epoch in the same transaction.
protocol OwnershipStorage {
    /// Registers, in the place of an older incarnation, and gives the map of now; its epoch is greater than `known`. Of
    /// who is registered already it changes nothing.
    func join(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipMap>

    /// Removes our row, if it is ours.
    func leave(_ member: OwnershipMember) -> EventLoopFuture<Void>

    /// Raises our heartbeat and looks. Never waits for what ``join(_:known:)`` and the others do.
    func beat(_ member: OwnershipMember, known: UInt64) -> EventLoopFuture<OwnershipReading>

    /// Removes those whose incarnation and heartbeat are still these, after their connections have ended. It fails, and
    /// nothing has changed, where they do not end soon.
    func evict(_ peers: [OwnershipPeer]) -> EventLoopFuture<Void>
}
