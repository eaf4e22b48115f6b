// SPDX-License-Identifier: Apache-2.0

/// What a running process takes of a file that was read again (SIGHUP).
///
/// What a process binds at its start (listeners, its link, the database, the names of the domains) stays as it was
/// until it is started again, and is named. Everything else is taken.
extension JackdawConfiguration {
    /// A new configuration as a running process can have it.
    package struct Renewal: Sendable, Equatable {
        /// The new values, and the old ones of what needs a restart.
        package var configuration: JackdawConfiguration
        /// The keys whose new values need a restart of this process, sorted.
        package var needsRestart: [String]
    }

    /// What a process that was started with this configuration makes of another one.
    package func renewed(by new: JackdawConfiguration, for kind: ComponentKind) -> Renewal {
        var renewing = Renewing(started: self, taken: new, kind: kind)
        renewing.keepDomains()
        renewing.keepPlaces()
        renewing.keepLinks()
        return Renewal(configuration: renewing.taken, needsRestart: renewing.needsRestart.sorted())
    }
}

private struct Renewing {
    let started: JackdawConfiguration
    var taken: JackdawConfiguration
    let kind: ComponentKind
    var needsRestart: Set<String> = []

    /// Keeps what the process was started with, if it is one of these.
    private mutating func keep<Value: Equatable>(
        _ key: String,
        _ path: WritableKeyPath<JackdawConfiguration, Value>,
        in kinds: Set<ComponentKind> = [.router, .c2s, .sm, .s2s]
    ) {
        guard kinds.contains(kind), taken[keyPath: path] != started[keyPath: path] else { return }
        taken[keyPath: path] = started[keyPath: path]
        needsRestart.insert(key)
    }

    /// The names and their order; what is set for a domain that stays is taken.
    mutating func keepDomains() {
        let names = started.domains.map(\.name)
        guard taken.domains.map(\.name) != names else { return }
        needsRestart.insert("domains")
        let renewed = Dictionary(taken.domains.map { ($0.name, $0) }) { first, _ in first }
        taken.domains = started.domains.map { renewed[$0.name] ?? $0 }
        // A name has one owner at a time.
        if taken.components.contains(where: { !Set($0.names).isDisjoint(with: names) }) {
            keep("components", \.components)
        }
    }

    /// Where the process listens, and where its files and its database are.
    mutating func keepPlaces() {
        keep("paths.run", \.paths.run)
        keep("paths.logs", \.paths.logs)
        keep("secrets.c2s", \.secrets.c2s, in: [.c2s])
        keep("secrets.sm", \.secrets.sm, in: [.sm])
        keep("secrets.s2s", \.secrets.s2s, in: [.s2s])
        keep("secrets.dialback", \.secrets.dialback, in: [.s2s])
        keep("secrets.router", \.secrets.router, in: [.router])
        keep("secrets.fake_salt", \.secrets.fakeSalt, in: [.c2s])
        keep("database", \.database, in: [.c2s, .sm])
        keep("c2s.listeners", \.c2s.listeners, in: [.c2s])
        keep("s2s.listeners", \.s2s.listeners, in: [.s2s])
        keep("s2s.dns", \.s2s.dns, in: [.s2s])
        keep("http.address", \.http.address)
        keep("http.router_port", \.http.routerPort, in: [.router])
        keep("http.c2s_port", \.http.c2sPort, in: [.c2s])
        keep("http.sm_port", \.http.smPort, in: [.sm])
        keep("http.s2s_port", \.http.s2sPort, in: [.s2s])
        keep("http.connections", \.http.connections)
        keep("http.idle_timeout", \.http.idleTimeout)
    }

    /// Both ends of a link have the same bound, and what travels on it has to fit.
    mutating func keepLinks() {
        keep("router.listen", \.router.listen)
        keep("router.tls_listen", \.router.tlsListen, in: [.router])
        keep("router.tls_certificate", \.router.tlsCertificate, in: [.router])
        keep("router.tls_key", \.router.tlsKey, in: [.router])
        keep("router.limits.internal_stanza_bytes", \.router.limits.internalStanzaBytes)
        let most = taken.router.limits.internalStanzaBytes / 2
        if taken.router.limits.stanzaBytes > most { keep("router.limits.stanza_bytes", \.router.limits.stanzaBytes) }
        if taken.c2s.limits.stanzaBytes > most { keep("c2s.limits.stanza_bytes", \.c2s.limits.stanzaBytes) }
        if taken.s2s.limits.stanzaBytes > most { keep("s2s.limits.stanza_bytes", \.s2s.limits.stanzaBytes) }
        if taken.sm.limits.rosterBytes > most { keep("sm.limits.roster_bytes", \.sm.limits.rosterBytes) }
    }
}
