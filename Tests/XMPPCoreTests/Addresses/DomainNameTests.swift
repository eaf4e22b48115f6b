// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import XMPPCore

@Suite struct DomainNameTests {
    @Test(arguments: [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("c2s-1.jackdaw.internal", "c2s-1.jackdaw.internal"),
        ("xn--bcher-kva.example", "b\u{FC}cher.example"),
        ("XN--BCHER-KVA.example", "b\u{FC}cher.example"),
        ("B\u{DC}CHER.example", "b\u{FC}cher.example"),
        ("bu\u{308}cher.example", "b\u{FC}cher.example"),
        ("xn--fa-hia.de", "fa\u{DF}.de"),
        ("fa\u{DF}.de", "fa\u{DF}.de"),
        ("\u{FF45}xample\u{FF0E}com", "example.com"),
        ("example\u{3002}com", "example.com"),
        ("xn--fiqs8s", "\u{4E2D}\u{56FD}"),
        ("xn--4gbrim.example", "\u{645}\u{648}\u{642}\u{639}.example"),
        ("1.2.3.4", "1.2.3.4"),
    ])
    func `a domain is prepared to lower case U-labels`(text: String, prepared: String) throws {
        let domain = try BareJID.prepareDomain(text)
        #expect(Array(domain.unicodeScalars) == Array(prepared.unicodeScalars))
        #expect(Array(try BareJID.prepareDomain(domain).utf8) == Array(domain.utf8))
    }

    @Test(arguments: [
        ("example.com", "example.com"), ("b\u{FC}cher.example", "xn--bcher-kva.example"),
        ("fa\u{DF}.de", "xn--fa-hia.de"), ("\u{4E2D}\u{56FD}", "xn--fiqs8s"), ("1.2.3.4", "1.2.3.4"),
        ("chat.b\u{FC}cher.\u{4E2D}\u{56FD}", "chat.xn--bcher-kva.xn--fiqs8s"), ("[::1]", "[::1]"),
    ])
    func `the DNS has A-labels, and they are prepared to the same domain`(prepared: String, name: String) throws {
        #expect(BareJID.dnsName(ofPreparedDomain: prepared) == name)
        #expect(try BareJID.prepareDomain(name) == prepared)
    }

    @Test(arguments: [
        "", ".", "..", "a..b", ".a", "a b", "a_b", "-a", "a-", "ab--c", "xn--", "xn---", "xn--a", "xn--abc-",
        "xn--99999999999", "\u{2665}.example", "\u{301}a.example", "a\u{5D0}.example", "-\u{FC}", "\u{FC}-",
        "xn--\u{FC}", "a/b", "a@b", "a\u{0}", "xn--bcher-KVA-", "\u{200D}a",
    ])
    func `what is no domain name is refused`(text: String) {
        #expect(throws: JIDError.self) { try BareJID.prepareDomain(text) }
    }

    @Test func `a U-label is bounded by the length of its A-label`() throws {
        let fits = String(repeating: "\u{FC}", count: 53)
        #expect(throws: JIDError.self) { try BareJID.prepareDomain(String(repeating: "\u{4E00}a", count: 30)) }
        let encoded = try #require(Punycode.encode(fits.unicodeScalars.map(\.value)))
        #expect(encoded.count + 4 <= 63)
        #expect(try BareJID.prepareDomain(fits) == fits)
    }

    @Test(arguments: [
        "[::1]", "[::]", "[1::]", "[2001:db8::1]", "[1:2:3:4:5:6:7:8]", "[::ffff:192.0.2.1]", "[1:2:3:4:5:6:1.2.3.4]",
        "[1::8]", "[::2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7::]", "[2001:DB8::1]",
    ])
    func `an IPv6 literal is taken`(text: String) throws {
        #expect(try BareJID.prepareDomain(text) == text.lowercased())
    }

    @Test(arguments: [
        "[", "[]", "[:]", "[:::]", "[1]", "[::1", "::1", "[1::2::3]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]",
        "[1:2:3:4:5:6:7:8::]", "[:1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:]", "[12345::]", "[g::]", "[::1.2.3]",
        "[::1.2.3.256]", "[::01.2.3.4]", "[1.2.3.4::]", "[::1]x", "[fe80::1%eth0]", "[v1.x]", "[1.2.3.4]",
    ])
    func `what is no IPv6 literal is refused`(text: String) {
        #expect(throws: JIDError.self) { try BareJID.prepareDomain(text) }
    }

    /// The samples of RFC 3492 section 7.1 without upper case.
    @Test(arguments: [
        (
            "\u{644}\u{64A}\u{647}\u{645}\u{627}\u{628}\u{62A}\u{643}\u{644}\u{645}\u{648}\u{634}\u{639}\u{631}\u{628}\u{64A}\u{61F}",
            "egbpdaj6bu4bxfgehfvwxn"
        ),
        ("\u{4ED6}\u{4EEC}\u{4E3A}\u{4EC0}\u{4E48}\u{4E0D}\u{8BF4}\u{4E2D}\u{6587}", "ihqwcrb4cv8a8dqg056pqjye"),
        ("b\u{FC}cher", "bcher-kva"),
        ("3\u{5E74}b\u{7D44}\u{91D1}\u{516B}\u{5148}\u{751F}", "3b-ww4c5e180e575a65lsy2b"),
        ("-> $1.00 <-", "-> $1.00 <--"),
    ])
    func `Punycode encodes and decodes`(text: String, encoded: String) {
        let scalars = text.unicodeScalars.map(\.value)
        let bytes = encoded.unicodeScalars.map(\.value)
        #expect(Punycode.encode(scalars) == bytes)
        #expect(Punycode.decode(bytes) == scalars)
    }

    @Test func `Punycode never traps on arbitrary input`() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("abcxyz0189-".unicodeScalars.map(\.value))
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...63, using: &generator)
            let label = (0..<count).map { _ in alphabet.randomElement(using: &generator) ?? 0x61 }
            guard let decoded = Punycode.decode(label) else { continue }
            #expect(decoded.count <= 63)
            _ = Punycode.encode(decoded)
        }
        #expect(Punycode.decode([UInt32](repeating: 0x39, count: 63)) == nil)
        #expect(Punycode.decode([0xFC]) == nil)
    }
}
