// SPDX-License-Identifier: Apache-2.0

/// The kinds of processes of the suite.
package enum ComponentKind: String, Sendable, CaseIterable {
    case router
    case c2s
    case sm
    case s2s
    case ctl
}

/// One process among those of its kind: `c2s-1`, on the router `c2s-1.jackdaw.internal`.
package struct InstanceName: Sendable, Hashable, CustomStringConvertible {
    package let kind: ComponentKind
    /// From 1; it picks the HTTP port.
    package let number: Int

    package init(kind: ComponentKind, number: Int = 1) {
        self.kind = kind
        self.number = number
    }

    /// Reads `c2s-1`, or nil.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard
            parts.count == 2, let kind = ComponentKind(rawValue: String(parts[0])), let number = Int(parts[1]),
            (1...999).contains(number), String(number) == parts[1]
        else { return nil }
        self.init(kind: kind, number: number)
    }

    /// Reads `c2s-1.jackdaw.internal`, or nil.
    package init?(routerName: String) {
        let suffix = "." + JackdawConfiguration.internalDomain
        guard routerName.hasSuffix(suffix) else { return nil }
        self.init(String(routerName.dropLast(suffix.count)))
    }

    package var description: String { "\(kind.rawValue)-\(number)" }

    /// The name that the instance binds on the router.
    package var routerName: String { "\(description).\(JackdawConfiguration.internalDomain)" }
}
