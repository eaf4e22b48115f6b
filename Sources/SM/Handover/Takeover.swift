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
    /// What was in force before.
    let before: OwnershipMap
    private let me: String
    /// Those that have not said all.
    private(set) var awaited: Set<String>

    /// - Parameters:
    ///   - map: the new map.
    ///   - before: what was in force until now, or the oldest one whose takeover is not over.
    ///   - me: our name.
    ///   - edges: the C2S that are there.
    ///   - peers: the SMs that are there.
    init(
        _ map: OwnershipMap,
        before: OwnershipMap,
        me: String,
        edges: some Sequence<String>,
        peers: some Sequence<String>
    ) {
        self.map = map
        self.before = before
        self.me = me
        awaited = Set(edges).union(peers.filter { before.contains($0) || map.contains($0) })
        awaited.remove(me)
    }

    /// Whether the user is ours from now on and was not before.
    func concerns(_ user: BareJID) -> Bool {
        map.owner(of: user) == me && before.owner(of: user) != me
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
