// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import TLS

/// What a certificate is worth to the other server, in both roles.
@Suite struct PeerCertificateTests {
    typealias Wish = TestAuthority.Wish

    private static func names(_ names: String) -> String { "subjectAltName = \(names)" }

    private static let xmppAddr = "otherName:1.3.6.1.5.5.7.8.5;UTF8:"
    private static let serviceName = "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:"

    /// A connection whose server shows `server`, and whose client shows `client`; both judge by the authority.
    private static func connect(
        _ authority: TestAuthority,
        server: TLSContext.Identity,
        client: TLSContext.Identity? = nil,
        maximumVersion: TLSContext.Version = .tls13
    ) throws -> BackToBack {
        var rules = TLSContext.ServerConfiguration(identities: ["one.example": server], defaultDomain: "one.example")
        rules.peerAuthorities = try TrustStore(path: authority.root)
        let pair = try BackToBack(
            server: TLSContext(server: rules),
            client: .init(maximumVersion: maximumVersion, identity: client, peerAuthorities: rules.peerAuthorities)
        )
        try pair.connect()
        // Whatever the certificates are worth.
        #expect(pair.clientRecorder.info != nil && pair.serverRecorder.info != nil)
        return pair
    }

    /// The fault of a server's certificate.
    private static func fault(_ wish: Wish, for domain: String, address: String? = nil) throws -> String? {
        let authority = try TestAuthority()
        let pair = try Self.connect(authority, server: authority.issue("server", wish))
        defer { pair.finish() }
        return try #require(pair.clientTLS.peerCertificate()).fault(for: domain, address: address)
    }

    @Test(arguments: [
        ("DNS:one.example", "one.example", true),
        ("DNS:ONE.example", "one.example", true),
        ("DNS:two.example", "one.example", false),
        ("DNS:*.one.example", "chat.one.example", true),
        ("DNS:*.one.example", "one.example", false),
        ("DNS:*.one.example", "a.chat.one.example", false),
        ("DNS:c*.one.example", "chat.one.example", false),
        ("DNS:chat.*.example", "chat.one.example", false),
        ("\(serviceName)_xmpp-server.one.example", "one.example", true),
        ("\(serviceName)_xmpp-client.one.example", "one.example", false),
        ("\(xmppAddr)one.example", "one.example", true),
        ("\(xmppAddr)*.one.example", "chat.one.example", false),
        ("\(xmppAddr)me@one.example", "one.example", false),
        ("DNS:two.example,\(serviceName)_xmpp-server.one.example", "one.example", true),
        ("email:me@one.example", "one.example", false),
        ("IP:127.0.0.1", "127.0.0.1", false),
    ])
    func `names are dNSName, SRVName and xmppAddr`(names: String, domain: String, isGood: Bool) throws {
        let fault = try Self.fault(Wish(commonName: "one.example", extensions: [Self.names(names)]), for: domain)
        #expect((fault == nil) == isGood, "\(fault ?? "good")")
        if let fault { #expect(fault.hasPrefix("is for ") && fault.hasSuffix("not for \(domain)")) }
    }

    @Test func `an internationalised domain is an A-label in dNSName and as it is in xmppAddr`() throws {
        let address = ["[names]", "otherName = 1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:münchen.example"]
        let unicode = Wish(extensions: [Self.names("@names")] + address)
        #expect(try Self.fault(unicode, for: "xn--mnchen-3ya.example", address: "münchen.example") == nil)
        let ascii = Wish(extensions: [Self.names("DNS:xn--mnchen-3ya.example")])
        #expect(try Self.fault(ascii, for: "xn--mnchen-3ya.example", address: "münchen.example") == nil)
    }

    @Test func `the common name is no name`() throws {
        #expect(
            try Self.fault(Wish(commonName: "one.example"), for: "one.example") == "is for no name, not for one.example"
        )
    }

    @Test func `why a chain is not good is told`() throws {
        let name = Self.names("DNS:one.example")
        let expired = Wish(extensions: [name], end: "20210101000000Z")
        #expect(try Self.fault(expired, for: "one.example") == "has expired")
        let early = Wish(extensions: [name], start: "21100101000000Z")
        #expect(try Self.fault(early, for: "one.example") == "is not valid yet")
        let own = Wish(extensions: [name], issuer: .itself)
        #expect(try Self.fault(own, for: "one.example") == "is signed by itself")
        let (ours, other) = (try TestAuthority(), try TestAuthority())
        let stranger = try other.issue("server", Wish(extensions: [name]))
        let pair = try Self.connect(ours, server: stranger)
        defer { pair.finish() }
        let fault = pair.clientTLS.peerCertificate()?.fault(for: "one.example")
        #expect(fault == "is signed by an authority that is not trusted here")
    }

    @Test(
        arguments: [
            (nil, nil, nil),
            ("serverAuth", nil, nil),
            ("serverAuth,clientAuth", nil, nil),
            ("anyExtendedKeyUsage", nil, nil),
            ("clientAuth", "is for clients, not for servers", nil),
            ("emailProtection", "is not for servers", "is not for servers"),
        ] as [(String?, String?, String?)]
    )
    func `what a certificate may be used for`(usage: String?, asServer: String?, asClient: String?) throws {
        let authority = try TestAuthority()
        let extensions = [Self.names("DNS:one.example")] + (usage.map { ["extendedKeyUsage = \($0)"] } ?? [])
        let identity = try authority.issue("peer", Wish(extensions: extensions))
        for version in [TLSContext.Version.tls12, .tls13] {
            let pair = try Self.connect(authority, server: identity, client: identity, maximumVersion: version)
            defer { pair.finish() }
            #expect(try #require(pair.clientTLS.peerCertificate()).fault(for: "one.example") == asServer)
            #expect(try #require(pair.serverTLS.peerCertificate()).fault(for: "one.example") == asClient)
        }
    }

    @Test(
        arguments: [
            (nil, nil, nil),
            ("serverAuth", nil, nil),
            ("clientAuth", "is for clients, not for servers", nil),
            ("emailProtection", "is not for servers", "is not for servers"),
        ] as [(String?, String?, String?)]
    )
    func `what the authority between may issue for`(usage: String?, asServer: String?, asClient: String?) throws {
        let authority = try TestAuthority()
        let isAuthority = ["basicConstraints = critical, CA:true"] + (usage.map { ["extendedKeyUsage = \($0)"] } ?? [])
        try authority.issue("between", Wish(commonName: "Between", extensions: isAuthority))
        let wish = Wish(extensions: [Self.names("DNS:one.example")], issuer: .named("between"))
        let identity = try authority.issue("peer", wish)
        let pair = try Self.connect(authority, server: identity, client: identity)
        defer { pair.finish() }
        #expect(try #require(pair.clientTLS.peerCertificate()).fault(for: "one.example") == asServer)
        #expect(try #require(pair.serverTLS.peerCertificate()).fault(for: "one.example") == asClient)
    }

    @Test func `a certificate that is no authority's signs nothing`() throws {
        let authority = try TestAuthority()
        try authority.issue("leaf", Wish(commonName: "Leaf", extensions: [Self.names("DNS:leaf.example")]))
        let wish = Wish(extensions: [Self.names("DNS:one.example")], issuer: .named("leaf"))
        let pair = try Self.connect(authority, server: authority.issue("peer", wish))
        defer { pair.finish() }
        #expect(try #require(pair.clientTLS.peerCertificate()).fault(for: "one.example") != nil)
    }

    @Test(arguments: [TLSContext.Version.tls12, .tls13])
    func `a client without a certificate, or with a bad one, is let in`(version: TLSContext.Version) throws {
        let authority = try TestAuthority()
        let server = try authority.issue("server", Wish(extensions: [Self.names("DNS:one.example")]))
        let without = try Self.connect(authority, server: server, maximumVersion: version)
        #expect(without.serverTLS.peerCertificate() == nil)
        without.finish()
        let own = try authority.issue("own", Wish(extensions: [Self.names("DNS:two.example")], issuer: .itself))
        let bad = try Self.connect(authority, server: server, client: own, maximumVersion: version)
        #expect(bad.serverTLS.peerCertificate()?.fault(for: "two.example") == "is signed by itself")
        #expect(bad.serverRecorder.info?.peerCertificate?.names == ["two.example"])
        bad.finish()
    }
}
