// SPDX-License-Identifier: Apache-2.0

/// Which instance owns the sessions of a domain: the one that declared it. Pure.
struct OwnerTable {
    /// What an announcement changed.
    struct Change: Equatable {
        /// The process is another one than before: what it held is gone.
        var isRestart: Bool
        /// It serves a domain.
        var isOwner: Bool
    }

    private struct Instance {
        var epoch: String
        var names: [String]
    }

    private var instances: [String: Instance] = [:]

    /// An instance was announced; nil if nothing changed.
    mutating func available(name: String, epoch: String, names: [String]) -> Change? {
        let old = instances.updateValue(Instance(epoch: epoch, names: names), forKey: name)
        if let old, old.epoch == epoch, old.names == names { return nil }
        return Change(isRestart: old.map { $0.epoch != epoch } ?? false, isOwner: !names.isEmpty)
    }

    /// An instance is gone; true if it could own sessions: it served a domain.
    mutating func unavailable(name: String) -> Bool {
        instances.removeValue(forKey: name)?.names.isEmpty == false
    }

    /// The instance that serves a domain. Of several the first by name, so that all C2S agree.
    func owner(of domain: String) -> String? {
        instances.filter { $0.value.names.contains(domain) }.keys.min()
    }
}
