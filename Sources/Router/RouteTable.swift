// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XML

/// Which link serves which name. A domain matches exactly. Pure.
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
    }

    private(set) var entries: [LinkID: Entry] = [:]
    /// The link that takes what is for domains that are not ours.
    private(set) var defaultRoute: LinkID?
    private var links: [String: LinkID] = [:]
    /// The instances that are declared, by name as UTF-8: so few that to look along them is quicker than to hash.
    private var instances: [(name: [UInt8], id: LinkID)] = []
    private var domains: [String: LinkID] = [:]

    /// Binds a stream's name; false: it is taken.
    mutating func bind(_ id: LinkID, _ instance: LinkInstance, servesItsName: Bool) -> Bool {
        guard self.links[instance.name] == nil else { return false }
        if servesItsName {
            guard self.domains[instance.name] == nil else { return false }
            self.domains[instance.name] = id
        }
        self.links[instance.name] = id
        self.entries[id] = Entry(
            instance: instance,
            domains: servesItsName ? [instance.name] : [],
            isAnnounced: instance.kind == .external
        )
        return true
    }

    /// Binds what an instance declares, in place of what it declared before; false: a name is taken, nothing changed.
    mutating func declare(_ id: LinkID, _ declaration: LinkDeclaration) -> Bool {
        guard var entry = self.entries[id] else { return false }
        var domains = Set(declaration.names)
        if entry.domains.contains(entry.instance.name) { domains.insert(entry.instance.name) }
        guard domains.allSatisfy({ self.domains[$0] == nil || self.domains[$0] == id }) else { return false }
        if declaration.isDefaultRoute {
            guard self.defaultRoute == nil || self.defaultRoute == id else { return false }
            self.defaultRoute = id
        } else if self.defaultRoute == id {
            self.defaultRoute = nil
        }
        for domain in entry.domains { self.domains[domain] = nil }
        for domain in domains { self.domains[domain] = id }
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
        for domain in entry.domains { self.domains[domain] = nil }
        if self.defaultRoute == id { self.defaultRoute = nil }
        return entry
    }

    /// The link that a stanza for `domain` goes to by that name alone.
    func link(serving domain: String) -> LinkID? {
        self.domains[domain]
    }

    /// The instance that a wrapper goes to.
    func receiver(of route: RouteFrame) -> LinkID? {
        for instance in self.instances where route.isTo(instance.name) { return instance.id }
        return nil
    }

    /// Whether the link may send for `domain`: it serves it, or it holds the default route and the domain is not ours.
    func mayLink(_ id: LinkID, sendFor domain: String, isOurs: (String) -> Bool) -> Bool {
        if self.domains[domain] == id { return true }
        return self.defaultRoute == id && self.domains[domain] == nil && !isOurs(domain)
    }
}
