// SPDX-License-Identifier: Apache-2.0

import Config
import DNS
import Daemon
import Glibc
import TLS

/// What `jackdaw-s2s --check` looks at: secrets, the authorities that are trusted, certificates, the keys of DNSSEC.
enum S2SCheck {
    static func run(_ context: DaemonContext) -> [CheckFinding] {
        let configuration = context.configuration
        var findings: [CheckFinding] = []
        for (subject, file) in [
            ("secret of s2s", configuration.secrets.s2s), ("secret of dialback", configuration.secrets.dialback),
        ] {
            do {
                _ = try Secret.load(file: file)
                findings.append(CheckFinding(.ok, subject, file))
            } catch {
                findings.append(CheckFinding(.error, subject, "\(error)"))
            }
        }
        do {
            _ = try S2SRuntime.tlsContexts(configuration)
            findings.append(CheckFinding(.ok, "federation", Self.policy(configuration.s2s)))
        } catch {
            findings.append(CheckFinding(.error, "federation", "\(error)"))
        }
        findings.append(Self.dnssec(configuration.s2s))
        return findings
    }

    /// Whether DNSSEC has something to begin with, and how bad it is if not.
    static func dnssec(_ section: JackdawConfiguration.S2S) -> CheckFinding {
        let files = section.dns.trustAnchors ?? DNSResolver.Configuration.systemTrustAnchors
        let missing = files.filter { unsafe access($0, R_OK) != 0 }
        let policies = [section.policy] + section.domains.map(\.policy)
        let isRequired = policies.contains { $0.dane == .required }
        let lack = isRequired ? "where DANE is required nobody can be reached" : "nothing that DNS says is proved"
        if !missing.isEmpty {
            let text = "\(missing.joined(separator: ", ")) cannot be read: \(lack)"
            return CheckFinding(isRequired ? .error : .warning, "DNSSEC", text)
        }
        if files.isEmpty {
            return CheckFinding(isRequired ? .error : .ok, "DNSSEC", "there is no trust anchor: \(lack)")
        }
        return CheckFinding(.ok, "DNSSEC", "it begins with \(files.joined(separator: ", "))")
    }

    private static func policy(_ section: JackdawConfiguration.S2S) -> String {
        let whom = section.allow.isEmpty ? "everybody" : section.allow.map(\.description).joined(separator: ", ")
        let policy = section.policy
        return "with \(whom), TLS \(policy.tls.rawValue), authentication \(policy.authentication.rawValue), "
            + "self-signed certificates: \(policy.selfSigned.rawValue), DANE: \(policy.dane.rawValue)"
    }
}
