// SPDX-License-Identifier: Apache-2.0

import Config
import XMPPCore

/// With whom we talk, and how safely: the operator's rules (section `s2s` of the configuration). Pure.
struct FederationRules: Sendable {
    /// The domains of ours, hosted or a component's.
    let ours: Set<String>
    /// The domains of ours whose users SM has.
    let hosted: Set<String>
    private let allow: [JackdawConfiguration.DomainPattern]
    private let deny: [JackdawConfiguration.DomainPattern]
    private let general: JackdawConfiguration.FederationPolicy
    private let particular: [JackdawConfiguration.RemoteDomain]

    init(_ configuration: JackdawConfiguration) {
        self.hosted = Set(configuration.domains.map(\.name))
        self.ours = self.hosted.union(configuration.components.flatMap(\.names))
        self.allow = configuration.s2s.allow
        self.deny = configuration.s2s.deny
        self.general = configuration.s2s.policy
        self.particular = configuration.s2s.domains
    }

    /// What is different for a domain: the entry with the longest name that matches.
    func entry(for domain: String) -> JackdawConfiguration.RemoteDomain? {
        self.particular.filter { $0.pattern.matches(domain) }.max { one, other in
            (one.pattern.domain.utf8.count, one.pattern.isExact ? 1 : 0)
                < (other.pattern.domain.utf8.count, other.pattern.isExact ? 1 : 0)
        }
    }

    func policy(for domain: String) -> JackdawConfiguration.FederationPolicy {
        self.entry(for: domain)?.policy ?? self.general
    }

    /// Whether we talk with a domain at all.
    func allows(_ domain: String) -> Bool {
        guard !self.deny.contains(where: { $0.matches(domain) }) else { return false }
        return self.allow.isEmpty || self.allow.contains { $0.matches(domain) }
    }

    /// Whether a domain is ours or our own processes': nobody else may speak for it.
    func isOurs(_ domain: String) -> Bool {
        self.ours.contains(domain) || JackdawConfiguration.isInternal(domain)
    }

    /// Why the domain that a peer names as its own ends its stream; nil: it does not.
    func refusal(ofRemote domain: String) -> StreamError? {
        if self.isOurs(domain) { return StreamError(.invalidFrom, text: "\(domain) is served here") }
        guard self.allows(domain) else {
            return StreamError(.policyViolation, text: "this server does not federate with \(domain)")
        }
        return nil
    }

    /// Whether its certificate alone proves the domain of a peer that connects to us.
    ///
    /// Where DANE is required it does not: the domain is proved by dialback, since that asks its server, which TLSA
    /// records have to prove.
    func believesCertificate(ofClient domain: String) -> Bool {
        let policy = self.policy(for: domain)
        return policy.authentication != .dialback && policy.dane != .required
    }

    /// Why what the peer's TLS is worth does not do for a domain, in words that complete "example.net …"; nil: it does.
    ///
    /// `identity` is nil while there is no TLS; `method` is how the domain was, or would be, proved. TLSA records tell of
    /// servers alone (RFC 7673 §3), so that they are not looked for where the peer is the client.
    func objection(
        to identity: PeerIdentity?,
        of domain: String,
        method: AuthenticationMethod,
        isClient: Bool = false
    ) -> String? {
        let policy = self.policy(for: domain)
        guard let identity else {
            let needsTLS = policy.tls == .required || policy.dane == .required || policy.authentication == .certificate
            return needsTLS ? "offers no encryption, and this server requires it" : nil
        }
        let verdict = identity.judge(domain)
        let reason = verdict.reason ?? ""
        if case .refuted = verdict { return "has a certificate that \(reason)" }
        if policy.dane == .required, !isClient, verdict != .proved(.dane) {
            return "has no certificate that DANE proves, and this server requires it"
                + (reason.isEmpty ? "" : ": \(reason)")
        }
        if policy.authentication == .certificate, verdict.method == nil {
            return "has no certificate that proves its name, and this server requires one: \(reason)"
        }
        if policy.selfSigned == .refuse, verdict.method == nil {
            return "has a certificate that this server does not trust: \(reason)"
        }
        if method == .dialback, policy.authentication == .certificate {
            return "did not prove its name by a certificate, and this server requires that"
        }
        return nil
    }
}
