// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Glibc
import NIOCore
import Storage
import TLS

/// What `jackdaw-c2s --check` looks at: certificates, secrets, and the database in the role that reads credentials.
enum C2SCheck {
    /// Certificates with fewer days left are worth a warning.
    private static let warningDays: Int64 = 21

    static func run(_ context: DaemonContext) async -> [CheckFinding] {
        let configuration = context.configuration
        var findings = configuration.domains.map { certificate(of: $0, in: configuration) }
        for (subject, file) in [
            ("secret of c2s", configuration.secrets.c2s), ("secret of fake salts", configuration.secrets.fakeSalt),
        ] {
            do {
                _ = try Secret.load(file: file)
                findings.append(CheckFinding(.ok, subject, file))
            } catch {
                findings.append(CheckFinding(.error, subject, "\(error)"))
            }
        }
        let probe = DatabaseProbe.ask(
            C2SRuntime.databaseConfiguration(context),
            for: .credentials,
            on: context.eventLoop
        )
        if let answer = try? await probe.get() {
            findings.append(CheckFinding(answer.isUsable ? .ok : .error, "database", answer.description))
        }
        return findings
    }

    static func certificate(of domain: HostedDomain, in configuration: JackdawConfiguration) -> CheckFinding {
        let subject = "certificate of \(domain.name)"
        let file = configuration.certificateFiles(for: domain).certificate
        do {
            // With its key, the way that a listener takes it.
            let server = configuration.tlsServer(alpn: [])
            let identity = server.identities.filter { $0.key == domain.name }
            let context = try TLSContext(server: .init(identities: identity, defaultDomain: domain.name))
            guard let info = context.certificate(for: domain.name) else {
                return CheckFinding(.error, subject, "\(file): no certificate")
            }
            let days = info.daysLeft(now: Int64(time(nil)))
            if days < 0 { return CheckFinding(.error, subject, "\(file): it ended \(-days) days ago") }
            if !info.isFor(domain.dnsName) && !info.isFor(domain.name) {
                let names = info.names.joined(separator: ", ")
                return CheckFinding(.warning, subject, "\(file): it is for \(names)")
            }
            let text = "\(file): \(days) days left, SHA-256 \(info.fingerprintText)"
            return CheckFinding(days < warningDays ? .warning : .ok, subject, text)
        } catch {
            return CheckFinding(.error, subject, "\(error)")
        }
    }
}
