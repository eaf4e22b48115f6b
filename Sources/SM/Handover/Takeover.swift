// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// The time from a new map until its users' former owners, and the edges, have said all: whom an SM waits for, and whose
/// traffic it holds meanwhile (`docs/protocols.md`, section 5).
///
/// ```
///   map(e) ──▶ C2S: "presented e" or gone ──▶ other SMs: "released e" or gone ──▶ sessions installed ──▶ over
/// ```
///
/// A pure value: no I/O, no time.
struct Takeover {
    let map: OwnershipMap
    /// What was in force before, since the oldest map whose takeover is not over: a user who was another SM's under one of
    /// them has been passed on to it, and must come back.
    let before: [OwnershipMap]
    private let me: String
    /// Those that have not said all.
    private(set) var awaited: Set<String>

    /// - Parameters:
    ///   - map: the new map.
    ///   - before: what was in force until now; behind those before it whose takeover is not over.
    ///   - me: our name.
    ///   - edges: the C2S that are there.
    ///   - peers: the SMs that are there.
    init(
        _ map: OwnershipMap,
        before: [OwnershipMap],
        me: String,
        edges: some Sequence<String>,
        peers: some Sequence<String>
    ) {
        self.map = map
        self.before = before
        self.me = me
        awaited = Set(edges).union(
            peers.filter { peer in map.contains(peer) || before.contains { $0.contains(peer) } }
        )
        awaited.remove(me)
    }

    /// Whether the user is ours from now on and was not before.
    func concerns(_ user: BareJID) -> Bool {
        map.owner(of: user) == me && before.contains { $0.owner(of: user) != me }
    }

    /// What was in force before the next map: each set of instances once.
    func before(nextAfter current: OwnershipMap) -> [OwnershipMap] {
        before.contains { $0.instances == current.instances } ? before : before + [current]
    }

    /// An instance has said all under the map of this epoch.
    mutating func said(_ instance: String, epoch: UInt64) {
        if epoch == map.epoch { awaited.remove(instance) }
    }

    /// An instance is gone: it says nothing more.
    mutating func gone(_ instance: String) {
        awaited.remove(instance)
    }

    var isHeard: Bool { awaited.isEmpty }

    /// The records of sessions that nobody presents are being asked for, or have been.
    var isRecalling = false
    var isRecalled = false
}
