// SPDX-License-Identifier: Apache-2.0

import Config
import SASL

/// Who may bind which names with which secret, as the configuration says.
struct ComponentDirectory: Sendable {
    /// What a stream name may do.
    struct Grant: Sendable, Equatable {
        /// The secret that its handshake proves.
        var secret: Secret
        /// Whether it may use the namespace of our links.
        var isInternal: Bool
        /// Whether the stream's name is a domain that stanzas may be sent to; the names of our instances are not.
        var servesItsName: Bool
        /// The names that it may declare.
        var names: Set<String>
        /// Whether it may take what is for domains that are not ours.
        var mayBeDefaultRoute: Bool
        /// Those of the same group may serve a domain together: the instances of a kind. Nil: of none.
        var group: String?
    }

    /// The grants of exact stream names: the components of the configuration.
    private var components: [String: Grant] = [:]
    /// The grants of our own processes, whose names have a number.
    private var instances: [ComponentKind: Grant] = [:]
    /// The domains that somebody of ours should serve.
    private var domains: Set<String> = []

    /// Makes an empty directory, in which nobody may bind.
    init() {}

    /// Reads the configuration; `secret` gives the contents of a file.
    init<Failure: Error>(
        _ configuration: JackdawConfiguration,
        secret: (String) throws(Failure) -> Secret
    ) throws(Failure) {
        let hosted = Set(configuration.domains.map(\.name))
        for kind in ComponentKind.allCases {
            guard let file = configuration.secretFile(for: kind) else { continue }
            self.instances[kind] = Grant(
                secret: try secret(file),
                isInternal: true,
                servesItsName: false,
                names: kind == .sm ? hosted : [],
                mayBeDefaultRoute: kind == .s2s,
                group: kind.rawValue
            )
        }
        for component in configuration.components {
            let grant = Grant(
                secret: try secret(component.secretFile),
                isInternal: component.isInternal,
                servesItsName: true,
                names: Set(component.names),
                mayBeDefaultRoute: component.isInternal && component.isDefaultRoute
            )
            for name in component.names { self.components[name] = grant }
        }
        self.domains = hosted.union(self.components.keys)
    }

    /// What the stream name `name` may do; nil: no such component.
    func grant(for name: String) -> Grant? {
        if let grant = self.components[name] { return grant }
        guard let kind = Self.kind(of: name) else { return nil }
        return self.instances[kind]
    }

    /// What a router proves to the others; nil: there are no others.
    var routerSecret: Secret? { self.instances[.router]?.secret }

    /// Whether a component of ours should serve `domain`, whether it is there or not.
    func isConfigured(_ domain: String) -> Bool {
        self.domains.contains(domain) || JackdawConfiguration.isInternal(domain)
    }

    /// The kind of process whose instance has this name: `c2s-1.jackdaw.internal`. The names that `jackdawctl` makes
    /// for itself end in anything.
    private static func kind(of name: String) -> ComponentKind? {
        let suffix = "." + JackdawConfiguration.internalDomain
        guard name.hasSuffix(suffix) else { return nil }
        let instance = String(name.dropLast(suffix.count))
        if let name = InstanceName(instance) { return name.kind }
        return instance.hasPrefix("ctl-") && !instance.contains(".") ? .ctl : nil
    }
}
