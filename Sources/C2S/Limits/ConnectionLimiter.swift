// SPDX-License-Identifier: Apache-2.0

import XMPPStream

/// Counts connections, all and per client address, and refuses what is too much. Pure; owned by the loop.
///
/// A connection is `unauthenticated` from its acceptance until its login, and counts as a `handshake` while TLS is
/// being negotiated.
struct ConnectionLimiter {
    /// The bounds; those per address have the stricter purpose: one client must not use up what all share.
    struct Limits: Equatable {
        var connections = 50_000
        var connectionsPerAddress = 200
        var unauthenticated = 384
        var unauthenticatedPerAddress = 50
        var handshakes = 96
    }

    /// Why a connection is not taken.
    enum Refusal: Equatable {
        /// This client has enough of them.
        case addressLimit
        /// The process has.
        case totalLimit
    }

    private struct Count {
        var all = 0
        var unauthenticated = 0
    }

    var limits: Limits
    private var addresses: [ClientAddress: Count] = [:]
    private(set) var connections = 0
    private(set) var unauthenticated = 0
    private(set) var handshakes = 0

    init(limits: Limits) {
        self.limits = limits
    }

    /// A connection came. If it is taken it counts from now on.
    mutating func accepted(_ address: ClientAddress) -> Refusal? {
        let count = addresses[address] ?? Count()
        if count.all >= limits.connectionsPerAddress || count.unauthenticated >= limits.unauthenticatedPerAddress {
            return .addressLimit
        }
        if connections >= limits.connections || unauthenticated >= limits.unauthenticated { return .totalLimit }
        addresses[address] = Count(all: count.all + 1, unauthenticated: count.unauthenticated + 1)
        connections += 1
        unauthenticated += 1
        return nil
    }

    /// Whether one that comes now is not one too many, of all who have still to log in.
    var hasRoomForStranger: Bool { unauthenticated < limits.unauthenticated }

    /// A connection logged in.
    mutating func authenticated(_ address: ClientAddress) {
        addresses[address]?.unauthenticated -= 1
        unauthenticated -= 1
    }

    /// A connection that was taken is gone.
    mutating func closed(_ address: ClientAddress, wasAuthenticated: Bool) {
        if !wasAuthenticated { authenticated(address) }
        connections -= 1
        guard var count = addresses[address] else { return }
        count.all -= 1
        addresses[address] = count.all > 0 ? count : nil
    }

    /// A TLS handshake begins, unless too many are under way.
    mutating func handshakeStarted() -> Bool {
        guard handshakes < limits.handshakes else { return false }
        handshakes += 1
        return true
    }

    mutating func handshakeEnded() {
        handshakes -= 1
    }
}
