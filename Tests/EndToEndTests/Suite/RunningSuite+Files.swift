// SPDX-License-Identifier: Apache-2.0

import Foundation
import SASL
import TestSupport

extension RunningSuite {
    /// Writes configuration, secrets and certificates the way `scripts/run` does, with free ports.
    func writeFiles(c2s: String, _ additional: String) throws {
        for name in ["secrets", "certificates", "run", "log"] {
            try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: false)
        }
        for name in ["router-c2s", "router-sm", "router-s2s", "router-ctl", "router-router", "fake-salt", "dialback"] {
            try writeSecret(Digest.hex(Digest.randomBytes(32)), "secrets/\(name)")
        }
        try writeSecret(componentSecret, "secrets/component")
        for domain in [domain, secondDomain] { try makeCertificate(domain) }
        try Data(text(c2s: c2s, additional).utf8).write(to: URL(fileURLWithPath: "\(directory)/jackdaw.yml"))
    }

    private func text(c2s: String, _ additional: String) -> String {
        """
        domains:
          - name: \(domain)
          - name: \(secondDomain)
        database:
          url: "\(cluster.url(database))"
          credentials_url: "\(cluster.url(database, role: "jackdaw_c2s"))"
        router:
          listen: 127.0.0.1:\(componentPort)
        components:
          - names: [\(componentName), \(otherComponentName), hostile.localhost, payload.localhost, never.localhost]
            secret_file: secrets/component
        http:
          router_port: \(httpPorts["router"] ?? 0)
          sm_port: \(httpPorts["sm"] ?? 0)
          c2s_port: \(httpPorts["c2s"] ?? 0)
        c2s:
          listeners:
            - address: 127.0.0.1:\(clientPort)
              tls: starttls
            - address: 127.0.0.1:\(directTLSPort)
              tls: direct
        \(c2s)
        log:
          level: \(ProcessInfo.processInfo.environment["JACKDAW_TEST_LOG"] ?? "info")
        \(additional)
        """
    }

    private func writeSecret(_ secret: String, _ path: String) throws {
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        _ = FileManager.default.createFile(
            atPath: "\(directory)/\(path)",
            contents: Data((secret + "\n").utf8),
            attributes: attributes
        )
    }

    /// Writes a configuration made of the suite's own; the other processes keep theirs until they read it again.
    func writeConfiguration(_ file: String = "jackdaw.yml", _ change: (inout String) -> Void) throws {
        var text = try String(contentsOfFile: "\(directory)/jackdaw.yml", encoding: .utf8)
        change(&text)
        try text.write(toFile: "\(directory)/\(file)", atomically: true, encoding: .utf8)
    }

    /// Makes a certificate for a name, or for an address (`IP:127.0.0.1`).
    func makeCertificate(_ name: String, for alternative: String? = nil) throws {
        try ChildProcess.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(alternative ?? "DNS:\(name)")",
            "-keyout", "\(directory)/certificates/\(name).key", "-out", "\(directory)/certificates/\(name).pem",
        ])
    }
}
