// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import TLS
import TestSupport
import Testing

@testable import C2S

@Suite struct CertificateTests {
    private func configuration() throws -> JackdawConfiguration {
        var configuration = JackdawConfiguration()
        configuration.domains = try [
            ("one.example", TestCertificates.identity("one.example")),
            ("müller.example", TestCertificates.identity("xn--mller-kva.example")),
        ].map { name, identity in
            var domain = HostedDomain(name: name)
            domain.certificate = identity.certificateFile
            domain.key = identity.keyFile
            return domain
        }
        return configuration
    }

    /// The `to` of a stream has U-labels (RFC 7622 §3.2), the SNI of TLS has A-labels (RFC 6066 §3).
    @Test(arguments: ["müller.example", "xn--mller-kva.example", "XN--MLLER-KVA.example"])
    func `an internationalised domain has its certificate in both spellings`(name: String) throws {
        let context = try TLSContext(server: configuration().tlsServer(alpn: []))
        #expect(context.certificate(for: name)?.names == ["xn--mller-kva.example"])
        #expect(context.certificate(for: "one.example")?.names.contains("one.example") == true)
    }

    @Test func `check knows that the certificate of an internationalised domain is for it`() throws {
        let configuration = try configuration()
        for domain in configuration.domains {
            let finding = C2SCheck.certificate(of: domain, in: configuration)
            #expect(finding.severity == .ok, "\(finding)")
        }
    }
}
