// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XML

/// Which link serves which name. A domain matches exactly. Pure.
///
/// A name has one link, but for the instances of one kind of process of ours, which may serve a domain together. What is
/// for such a domain goes to one of them, chosen by the bare addresses of sender and receiver: so order holds, and when
/// one comes or goes, what others have stays with them.
struct RouteTable {
    /// The number of a connection, never used again in this process.
    struct LinkID: Hashable, Comparable, Sendable {
        let number: UInt64

        static func < (one: LinkID, other: LinkID) -> Bool { one.number < other.number }
    }

    /// A bound link.
    struct Entry: Sendable, Equatable {
        /// Who is bound, with the names it declared.
        var instance: LinkInstance
        /// The domains that stanzas for are its own, and that it may send for.
        var domains: Set<String>
        /// Whether `instance` has been told to the others.
        var isAnnounced: Bool
        /// Those of the same group may serve a domain together; nil: of none.
        var group: String?
    }

    private(set) var entries: [LinkID: Entry] = [:]
    /// The links that take what is for domains that are not ours, in the order of their instances' names.
    private(set) var defaultRoutes: [LinkID] = [] {
        didSet { self.defaultRouteMap = OwnershipMap(epoch: 1, instances: self.defaultRoutes.map(self.name)) }
    }
    /// Their instances, as a map of the pairs of domains.
    private var defaultRouteMap = OwnershipMap.none
    private var links: [String: LinkID] = [:]
    /// The instances that are declared, by name as UTF-8: so few that to look along them is quicker than to hash.
    private var instances: [(name: [UInt8], id: LinkID)] = []
    /// The links that serve a domain, in the order of their instances' names.
    private var domains: [String: [LinkID]] = [:]

    /// Binds a stream's name; false: it is taken.
    mutating func bind(_ id: LinkID, _ instance: LinkInstance, servesItsName: Bool, group: String? = nil) -> Bool {
        guard self.links[instance.name] == nil else { return false }
        if servesItsName {
            guard self.domains[instance.name] == nil else { return false }
            self.domains[instance.name] = [id]
        }
        self.links[instance.name] = id
        self.entries[id] = Entry(
            instance: instance,
            domains: servesItsName ? [instance.name] : [],
            isAnnounced: instance.kind == .external,
            group: group
        )
        return true
    }

    /// Binds what an instance declares, in place of what it declared before; false: a name is taken, nothing changed.
    mutating func declare(_ id: LinkID, _ declaration: LinkDeclaration) -> Bool {
        guard var entry = self.entries[id] else { return false }
        var domains = Set(declaration.names)
        if entry.domains.contains(entry.instance.name) { domains.insert(entry.instance.name) }
        guard domains.allSatisfy({ self.mayServe(entry, $0, as: id) }) else { return false }
        guard self.setDefaultRoute(id, entry, declaration.isDefaultRoute) else { return false }
        for domain in entry.domains { self.removeHolder(id, of: domain) }
        for domain in domains { self.addHolder(id, entry.instance.name, of: domain) }
        entry.domains = domains
        entry.instance.kind = .internal
        entry.instance.epoch = declaration.epoch
        entry.instance.names = declaration.names
        entry.isAnnounced = true
        self.entries[id] = entry
        let name = Array(entry.instance.name.utf8)
        if !self.instances.contains(where: { $0.id == id }) { self.instances.append((name: name, id: id)) }
        return true
    }

    /// Frees everything that the link had bound.
    mutating func remove(_ id: LinkID) -> Entry? {
        guard let entry = self.entries.removeValue(forKey: id) else { return nil }
        self.links[entry.instance.name] = nil
        self.instances.removeAll { $0.id == id }
        for domain in entry.domains { self.removeHolder(id, of: domain) }
        self.defaultRoutes.removeAll { $0 == id }
        return entry
    }

    /// Takes or gives up the default route; false: somebody has it who does not share it.
    private mutating func setDefaultRoute(_ id: LinkID, _ entry: Entry, _ isWanted: Bool) -> Bool {
        let others = self.defaultRoutes.filter { $0 != id }
        guard isWanted else {
            self.defaultRoutes = others
            return true
        }
        guard others.allSatisfy({ entry.group != nil && self.entries[$0]?.group == entry.group }) else { return false }
        self.defaultRoutes = (others + [id]).sorted { self.name(of: $0) < self.name(of: $1) }
        return true
    }

    /// The link that takes a stanza for a domain that is not ours: the one of its pair of domains, which is the same
    /// wherever it is asked.
    func defaultRoute(from local: String, to remote: String) -> LinkID? {
        guard self.defaultRoutes.count > 1 else { return self.defaultRoutes.first }
        let owner = self.defaultRouteMap.owner(of: FederationPair(local: local, remote: remote).key)
        return self.defaultRoutes.first { self.name(of: $0) == owner }
    }

    private func mayServe(_ entry: Entry, _ domain: String, as id: LinkID) -> Bool {
        (self.domains[domain] ?? []).allSatisfy { holder in
            holder == id || (entry.group != nil && self.entries[holder]?.group == entry.group)
        }
    }

    private mutating func addHolder(_ id: LinkID, _ name: String, of domain: String) {
        let holders = self.domains[domain] ?? []
        let index = holders.firstIndex { (self.entries[$0]?.instance.name ?? "") > name } ?? holders.endIndex
        self.domains[domain, default: []].insert(id, at: index)
    }

    private mutating func removeHolder(_ id: LinkID, of domain: String) {
        self.domains[domain]?.removeAll { $0 == id }
        if self.domains[domain]?.isEmpty == true { self.domains[domain] = nil }
    }

    /// The link that a stanza for `domain` goes to by that name alone, and where several serve it by its addresses.
    func link(serving domain: String, from: @autoclosure () -> String, to: @autoclosure () -> String) -> LinkID? {
        guard let holders = self.domains[domain] else { return nil }
        guard holders.count > 1 else { return holders.first }
        let pair = StableHash(from(), to())
        return holders.max { pair.score(self.name(of: $0)) < pair.score(self.name(of: $1)) }
    }

    /// Whether anybody serves `domain`.
    func isServed(_ domain: String) -> Bool { self.domains[domain] != nil }

    private func name(of id: LinkID) -> String { self.entries[id]?.instance.name ?? "" }

    /// The instance that a wrapper goes to.
    func receiver(of route: RouteFrame) -> LinkID? {
        for instance in self.instances where route.isTo(instance.name) { return instance.id }
        return nil
    }

    /// Whether the link may send for `domain`: it serves it, or it holds the default route and the domain is not ours.
    func mayLink(_ id: LinkID, sendFor domain: String, isOurs: (String) -> Bool) -> Bool {
        if self.domains[domain]?.contains(id) == true { return true }
        return self.defaultRoutes.contains(id) && self.domains[domain] == nil && !isOurs(domain)
    }
}
