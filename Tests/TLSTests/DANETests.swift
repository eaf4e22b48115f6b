// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import TLS

/// TLSA records and the certificates that match them (RFC 6698, RFC 7671, RFC 7673).
@Suite struct DANETests {
    typealias Wish = TestAuthority.Wish

    private static let domain = "one.example"

    /// The fault of a server's certificate where DNS has records; `isProved` is whether they decided.
    private static func judge(
        _ identity: TLSContext.Identity,
        _ records: [TLSAssociation],
        trusting authorities: String
    ) throws -> (fault: String?, isProved: Bool?) {
        let server = TLSContext.ServerConfiguration(identities: [domain: identity], defaultDomain: domain)
        let pair = try BackToBack(
            server: TLSContext(server: server),
            client: .init(peerAuthorities: TrustStore(path: authorities)),
            sni: domain,
            dane: DANE(associations: records, names: [domain, "host.example"])
        )
        try pair.connect()
        defer { pair.finish() }
        let certificate = try #require(pair.clientTLS.peerCertificate())
        return (certificate.fault(for: domain), certificate.isProvedByDANE)
    }

    private static func record(_ usage: UInt8, _ selector: UInt8, _ type: UInt8, _ data: [UInt8]) -> TLSAssociation {
        TLSAssociation(usage: usage, selector: selector, matchingType: type, data: data)
    }

    /// Somebody whom nobody trusts.
    private static func stranger() throws -> String { try TestAuthority().root }

    @Test(arguments: ["DNS:one.example", "DNS:elsewhere.example"])
    func `a certificate that is named itself is good, whatever it is for`(name: String) throws {
        let authority = try TestAuthority()
        let wish = Wish(
            extensions: ["subjectAltName = \(name)", "extendedKeyUsage = emailProtection"],
            end: "20210101000000Z",
            issuer: .itself
        )
        let identity = try authority.issue("server", wish)
        let key = Self.record(3, 1, 1, try authority.keyDigest("server"))
        let whole = Self.record(3, 0, 1, try CertificateInfo(file: identity.certificateFile).fingerprint)
        for record in [key, whole] {
            let result = try Self.judge(identity, [record], trusting: Self.stranger())
            #expect(result.fault == nil && result.isProved == true)
        }
        // One of several is enough (RFC 7671 §8.1).
        let other = Self.record(3, 1, 1, [UInt8](repeating: 1, count: 32))
        #expect(try Self.judge(identity, [other, key], trusting: Self.stranger()).isProved == true)
    }

    @Test func `a trusted certificate that no record names is refuted`() throws {
        let authority = try TestAuthority()
        let identity = try authority.issue("server", Wish(extensions: ["subjectAltName = DNS:one.example"]))
        let record = Self.record(3, 1, 1, [UInt8](repeating: 1, count: 32))
        let result = try Self.judge(identity, [record], trusting: authority.root)
        #expect(result.isProved == false)
        #expect(result.fault?.hasPrefix("does not match the TLSA records of the domain") == true)
    }

    @Test(arguments: [
        ("DNS:one.example", "serverAuth", true),
        ("DNS:host.example", "serverAuth", true),
        ("DNS:*.example", "serverAuth", false),
        ("DNS:elsewhere.example", "serverAuth", false),
        ("DNS:one.example", "clientAuth", false),
    ])
    func `an authority that is named has to sign for the name`(name: String, usage: String, isGood: Bool) throws {
        let authority = try TestAuthority()
        let wish = Wish(extensions: ["subjectAltName = \(name)", "extendedKeyUsage = \(usage)"])
        let identity = try authority.issue("server", wish, withRoot: true)
        let record = Self.record(2, 1, 1, try authority.keyDigest("root"))
        let result = try Self.judge(identity, [record], trusting: Self.stranger())
        #expect(result.isProved == isGood && (result.fault == nil) == isGood)
    }

    @Test func `an authority that is named does not sign for an expired certificate`() throws {
        let authority = try TestAuthority()
        let wish = Wish(extensions: ["subjectAltName = DNS:one.example"], end: "20210101000000Z")
        let identity = try authority.issue("server", wish, withRoot: true)
        let record = Self.record(2, 1, 1, try authority.keyDigest("root"))
        let result = try Self.judge(identity, [record], trusting: Self.stranger())
        #expect(result.fault == "does not match the TLSA records of the domain (it has expired)")
    }

    @Test func `usages 0 and 1 need a trusted authority as well`() throws {
        let authority = try TestAuthority()
        let identity = try authority.issue(
            "server",
            Wish(extensions: ["subjectAltName = DNS:one.example"]),
            withRoot: true
        )
        let own = Self.record(1, 1, 1, try authority.keyDigest("server"))
        let root = Self.record(0, 1, 1, try authority.keyDigest("root"))
        for record in [own, root] {
            #expect(try Self.judge(identity, [record], trusting: authority.root).isProved == true)
            #expect(try Self.judge(identity, [record], trusting: Self.stranger()).isProved == false)
        }
    }

    @Test func `records that cannot be used do not count`() throws {
        let authority = try TestAuthority()
        let name = "subjectAltName = otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.one.example"
        let identity = try authority.issue("server", Wish(extensions: [name]))
        let useless = [
            // No such usage, selector or kind; a digest that is too short; what is no certificate; nothing.
            Self.record(9, 1, 1, [UInt8](repeating: 1, count: 32)),
            Self.record(3, 9, 1, [UInt8](repeating: 1, count: 32)),
            Self.record(3, 1, 9, [UInt8](repeating: 1, count: 32)),
            Self.record(3, 1, 1, [1, 2, 3]),
            Self.record(3, 0, 0, [1, 2, 3]),
            Self.record(3, 1, 0, [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
            Self.record(3, 1, 1, []),
        ]
        let result = try Self.judge(identity, useless, trusting: authority.root)
        #expect(result.fault == nil && result.isProved == nil)
        let untrusted = try Self.judge(identity, useless, trusting: Self.stranger())
        #expect(untrusted.isProved == nil && untrusted.fault == "is signed by an authority that is not trusted here")
    }
}
