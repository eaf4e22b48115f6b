// SPDX-License-Identifier: Apache-2.0

extension JackdawConfiguration {
    /// What one key cannot tell: values that do not go together.
    func validate(_ issues: IssueCollector) {
        validateDomains(issues)
        validateComponents(issues)
        if (database.url == nil) != (database.credentialsURL == nil) {
            issues.report(
                at: database.url == nil ? "database.credentials_url" : "database.url",
                "database.url and database.credentials_url go together: two roles of one database"
            )
        }
        if sasl.mechanisms.isEmpty { issues.report(at: "sasl.mechanisms", "at least one mechanism is expected") }
        if c2s.listeners.isEmpty { issues.report(at: "c2s.listeners", "at least one listener is expected") }
        validateRouters(issues)
        validateFederation(issues)
        validateOrder(issues)
    }

    private func validateRouters(_ issues: IssueCollector) {
        if (router.tlsCertificate == nil) != (router.tlsKey == nil) {
            let given = router.tlsCertificate == nil ? "tls_key" : "tls_certificate"
            issues.report(at: "router.\(given)", "tls_certificate and tls_key go together")
        }
        if supervisor.router == 0, router.remote.isEmpty {
            issues.report(at: "supervisor.router", "must be 1 at least, since router.remote names no other")
        }
        for (index, remote) in router.remote.enumerated()
        where router.remote[..<index].contains(where: { $0.address == remote.address }) {
            issues.report(at: "router.remote[\(index)].address", "'\(remote.address)' is there twice")
        }
    }

    private func validateDomains(_ issues: IssueCollector) {
        var names: Set<String> = []
        for (index, domain) in domains.enumerated() {
            let path = "domains[\(index)]"
            if !names.insert(domain.name).inserted {
                issues.report(at: "\(path).name", "'\(domain.name)' is there twice")
            }
            if Self.isInternal(domain.name) {
                issues.report(at: "\(path).name", "'\(Self.internalDomain)' is for our own processes")
            }
            if (domain.certificate == nil) != (domain.key == nil) {
                let given = domain.certificate == nil ? "key" : "certificate"
                issues.report(at: "\(path).\(given)", "certificate and key go together")
            }
        }
    }

    private func validateComponents(_ issues: IssueCollector) {
        var names = Set(domains.map(\.name))
        var defaultRoutes = 0
        for (index, component) in components.enumerated() {
            let path = "components[\(index)]"
            for name in component.names {
                if !names.insert(name).inserted { issues.report(at: "\(path).names", "'\(name)' has another owner") }
                if Self.isInternal(name) && !component.isInternal {
                    issues.report(at: "\(path).names", "'\(Self.internalDomain)' is for our own processes")
                }
            }
            if component.isDefaultRoute { defaultRoutes += 1 }
            if defaultRoutes > 1 && component.isDefaultRoute {
                issues.report(at: "\(path).default_route", "another component has the default route")
            } else if component.isDefaultRoute, supervisor.s2s > 0 {
                issues.report(at: "\(path).default_route", "S2S has the default route, unless supervisor.s2s is 0")
            }
        }
    }

    private func validateFederation(_ issues: IssueCollector) {
        for (index, domain) in s2s.domains.enumerated() {
            let path = "s2s.domains[\(index)]"
            if s2s.domains[..<index].contains(where: { $0.pattern == domain.pattern }) {
                issues.report(at: "\(path).name", "'\(domain.pattern)' is there twice")
            }
            if domain.isDirectTLS, domain.host == nil {
                issues.report(at: "\(path).direct_tls", "it says how 'host' speaks, and that is not there")
            }
        }
    }

    private func validateOrder(_ issues: IssueCollector) {
        if router.limits.queueHighWater > router.limits.queueBytes {
            issues.report(at: "router.limits.queue_high_water", "must not exceed queue_bytes")
        }
        if s2s.limits.stanzaBytesBeforeAuthentication > s2s.limits.stanzaBytes {
            issues.report(at: "s2s.limits.stanza_bytes_before_authentication", "must not exceed stanza_bytes")
        }
        if s2s.limits.queueBytes > s2s.limits.queueBytesTotal {
            issues.report(at: "s2s.limits.queue_bytes", "must not exceed queue_bytes_total")
        }
        if c2s.limits.stanzaBytesBeforeLogin > c2s.limits.stanzaBytes {
            issues.report(at: "c2s.limits.stanza_bytes_before_login", "must not exceed stanza_bytes")
        }
        validateStanzaBytes(issues)
    }

    /// A stanza larger than `internal_stanza_bytes` ends the stream of the process that sends it.
    private func validateStanzaBytes(_ issues: IssueCollector) {
        let most = router.limits.internalStanzaBytes
        let name = "router.limits.internal_stanza_bytes"
        // A wrapper, a stamped `from` and escapes make a stanza longer on the way to the SM.
        if c2s.limits.stanzaBytes > most / 2 {
            issues.report(at: "c2s.limits.stanza_bytes", "must not exceed half of \(name)")
        }
        if s2s.limits.stanzaBytes > most / 2 {
            issues.report(at: "s2s.limits.stanza_bytes", "must not exceed half of \(name)")
        }
        if router.limits.stanzaBytes > most / 2 {
            issues.report(at: "router.limits.stanza_bytes", "must not exceed half of \(name)")
        }
        if sm.limits.rosterBytes > most / 2 {
            issues.report(at: "sm.limits.roster_bytes", "must not exceed half of \(name)")
        }
        // The values of a start tag are escaped anew: `"` becomes `&quot;`.
        if c2s.limits.tagBytes > most / 32 {
            issues.report(at: "c2s.limits.tag_bytes", "must not exceed 1/32 of \(name)")
        }
        if c2s.limits.outputBytes < most {
            issues.report(at: "c2s.limits.output_bytes", "must be at least \(name)")
        }
        if most > router.limits.queueBytes / 4 {
            issues.report(at: name, "must not exceed a quarter of queue_bytes")
        }
    }
}
