// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// Which instance owns a user's sessions: the one that the map names, if it is there. Pure.
struct OwnerTable {
    private struct Instance {
        var epoch: String
        var names: [String]
        /// It has told a map, and was presented what was its own.
        var hasAsked = false
    }

    private var instances: [String: Instance] = [:]
    /// The newest map that was told.
    private(set) var map = OwnershipMap.none

    /// An instance was announced; true if it is another process than before: what it held is gone.
    mutating func available(name: String, epoch: String, names: [String]) -> Bool {
        let old = instances[name]
        let hasAsked = old?.epoch == epoch && old?.hasAsked == true
        instances[name] = Instance(epoch: epoch, names: names, hasAsked: hasAsked)
        return old.map { $0.epoch != epoch } ?? false
    }

    /// An instance is gone; true if it could own sessions: it served a domain.
    mutating func unavailable(name: String) -> Bool {
        instances.removeValue(forKey: name)?.names.isEmpty == false
    }

    /// An instance told a map; false if a newer one is known.
    mutating func adopt(_ map: OwnershipMap) -> Bool {
        guard map.epoch >= self.map.epoch else { return false }
        self.map = map
        return true
    }

    /// An instance told a map in force: it wants what is its own.
    mutating func asked(_ name: String) { instances[name]?.hasAsked = true }
    /// Whether it did since it came.
    func hasAsked(_ name: String) -> Bool { instances[name]?.hasAsked ?? false }

    /// The owner of a user; nil while it is not there.
    func owner(of user: BareJID) -> String? {
        map.owner(of: user).flatMap { instances[$0] == nil ? nil : $0 }
    }

    /// Some instance that serves a domain, for what is nobody's yet.
    func anyone(serving domain: String) -> String? {
        map.instances.first { instances[$0]?.names.contains(domain) ?? false }
    }
}
