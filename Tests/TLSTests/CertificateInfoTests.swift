// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import TLS

@Suite struct CertificateInfoTests {
    @Test func `a certificate tells its fingerprint, names and dates`() throws {
        let (path, _) = try TestCertificates.identities()
        let info = try CertificateInfo(file: "\(path)/one.pem")
        #expect(
            info.fingerprintText
                == "A8:0B:08:3E:3E:4F:3B:B1:95:1C:09:B9:A2:6F:6E:17:FC:71:2C:46:D1:40:00:4E:6B:7E:35:34:F8:71:5F:5C"
        )
        #expect(info.names == ["one.example", "*.one.example"])
        #expect(info.notAfter == 4_949_022_963)
        #expect(info.notBefore == 1_795_422_963)
        #expect(info.daysLeft(now: 4_949_022_963 - 86_400 * 3 - 5) == 3)
    }

    @Test(arguments: [
        ("one.example", true), ("ONE.example", true), ("a.one.example", true), ("a.b.one.example", false),
        ("two.example", false), ("", false), ("example", false), (".one.example", true),
    ])
    func `names match directly and by a wildcard for the first label`(domain: String, matches: Bool) throws {
        let (path, _) = try TestCertificates.identities()
        #expect(try CertificateInfo(file: "\(path)/one.pem").isFor(domain) == matches)
    }

    @Test func `files that are missing or no certificate are named`() throws {
        let path = try TestCertificates.directory(["bad.pem": "nonsense"])
        #expect(throws: TLSError.self) { try CertificateInfo(file: "\(path)/none.pem") }
        do {
            _ = try CertificateInfo(file: "\(path)/bad.pem")
            Issue.record("accepted")
        } catch {
            #expect("\(error)".contains("bad.pem"))
        }
    }
}
