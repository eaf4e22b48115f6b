// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import XMPPCore

@Suite struct JIDTests {
    /// The valid examples of RFC 7622 section 3.5, and the forms of our own.
    @Test(
        arguments: [
            ("juliet@example.com", "juliet", "example.com", nil),
            ("juliet@example.com/foo", "juliet", "example.com", "foo"),
            ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
            ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
            ("foo\\20bar@example.com", "foo\\20bar", "example.com", nil),
            ("fussball@example.com", "fussball", "example.com", nil),
            ("fu\u{DF}ball@example.com", "fu\u{DF}ball", "example.com", nil),
            ("\u{3C0}@example.com", "\u{3C0}", "example.com", nil),
            ("\u{3A3}@example.com/foo", "\u{3C3}", "example.com", "foo"),
            ("\u{3C3}@example.com/foo", "\u{3C3}", "example.com", "foo"),
            ("\u{3C2}@example.com/foo", "\u{3C2}", "example.com", "foo"),
            ("king@example.com/\u{265A}", "king", "example.com", "\u{265A}"),
            ("example.com", nil, "example.com", nil),
            ("example.com/foobar", nil, "example.com", "foobar"),
            ("a.example.com/b@example.net", nil, "a.example.com", "b@example.net"),
            ("Juliet@Example.COM/Foo", "juliet", "example.com", "Foo"),
            ("juliet@example.com./x", "juliet", "example.com", "x"),
            ("juliet@127.0.0.1", "juliet", "127.0.0.1", nil),
            ("juliet@[::1]/x", "juliet", "[::1]", "x"),
            ("localhost/a/b", nil, "localhost", "a/b"),
        ] as [(String, String?, String, String?)]
    )
    func `a valid address is split and prepared`(
        text: String,
        local: String?,
        domain: String,
        resource: String?
    ) throws {
        let jid = try JID(text)
        #expect(jid.local == local)
        #expect(jid.domain == domain)
        #expect(jid.resource == resource)
        #expect(try JID(local: local, domain: domain, resource: resource) == jid)
        #expect(try JID(jid.description) == jid)
        #expect(try BareJID(jid.bare.description) == jid.bare)
    }

    /// The invalid examples of RFC 7622 section 3.5, and the bounds.
    @Test(
        arguments: [
            ("\"juliet\"@example.com", .local, .forbiddenCharacter),
            ("foo bar@example.com", .local, .forbiddenCharacter),
            ("juliet@example.com/", .resource, .empty),
            ("@example.com/", .local, .empty),
            ("@example.com", .local, .empty),
            ("henry\u{2163}@example.com", .local, .forbiddenCharacter),
            ("\u{265A}@example.com", .local, .forbiddenCharacter),
            ("juliet@", .domain, .empty),
            ("/foobar", .domain, .empty),
            ("", .domain, .empty),
            (".", .domain, .empty),
            ("juliet@example.com\u{7}", .domain, .malformedLabel),
            ("juliet@exa mple.com", .domain, .malformedLabel),
            ("juliet@exam_ple.com", .domain, .malformedLabel),
            ("juliet@a@b", .domain, .malformedLabel),
            ("juliet@example..com", .domain, .malformedLabel),
            ("juliet@-example.com", .domain, .malformedLabel),
            ("juliet@example-.com", .domain, .malformedLabel),
            ("juliet@ab--c.com", .domain, .malformedLabel),
            ("juliet@[::1", .domain, .malformedAddressLiteral),
            ("juliet@example.com/a\u{7}b", .resource, .forbiddenCharacter),
            ("juliet@example.com/a\u{7F}b", .resource, .forbiddenCharacter),
            ("juliet@example.com/\u{200B}", .resource, .forbiddenCharacter),
        ] as [(String, JIDError.Part, JIDError.Reason)]
    )
    func `an invalid address says which part breaks which rule`(
        text: String,
        part: JIDError.Part,
        reason: JIDError.Reason
    ) {
        #expect(throws: JIDError(part, reason)) { try JID(text) }
    }

    @Test(arguments: ["\"", "&", "'", "/", ":", "<", ">", "@", " ", "\u{0}", "\u{1F}", "\u{7F}"])
    func `a character that RFC 7622 section 3-3-1 excludes is refused, also when width mapping makes it`(
        character: String
    ) throws {
        #expect(throws: JIDError(.local, .forbiddenCharacter)) {
            try BareJID(local: "a\(character)b", domain: "example.com")
        }
        let scalar = try #require(character.unicodeScalars.first?.value)
        guard (0x21...0x7E).contains(scalar), let fullwidth = Unicode.Scalar(scalar + 0xFEE0) else { return }
        #expect(throws: JIDError(.local, .forbiddenCharacter)) {
            try BareJID(local: "a\(fullwidth)b", domain: "example.com")
        }
    }

    @Test func `every other printable character of ASCII is allowed in a local part`() throws {
        let excluded = Set("\"&'/:<>@".unicodeScalars.map(\.value))
        for value in UInt32(0x21)...0x7E where !excluded.contains(value) {
            let text = String(try #require(Unicode.Scalar(value)))
            #expect(try BareJID(local: text, domain: "x").local == text.lowercased())
        }
    }

    @Test func `a part of 1023 bytes is taken and one of 1024 is refused`() throws {
        let fits = String(repeating: "a", count: 1023)
        let label = String(repeating: "a", count: 63)
        let domain = [String](repeating: label, count: 16).joined(separator: ".")
        #expect(domain.utf8.count == 1023)
        let jid = try JID("\(fits)@\(domain)/\(fits)")
        #expect(jid.local == fits && jid.domain == domain && jid.resource == fits)

        #expect(throws: JIDError(.local, .tooLong)) { try JID("\(fits)a@example.com") }
        #expect(throws: JIDError(.resource, .tooLong)) { try JID("example.com/\(fits)a") }
        #expect(throws: JIDError(.domain, .tooLong)) { try BareJID(local: nil, domain: "b.\(domain)") }
        #expect(throws: JIDError(.domain, .malformedLabel)) { try JID("\(label)a.example") }
    }

    @Test func `bytes are counted after preparation, not characters before it`() throws {
        // 341 times three bytes.
        let fits = String(repeating: "\u{4E00}", count: 341)
        #expect(fits.utf8.count == 1023)
        #expect(try JID("\(fits)@example.com/\(fits)").resource == fits)
        #expect(throws: JIDError(.local, .tooLong)) { try JID("\(fits)a@example.com") }
        #expect(throws: JIDError(.resource, .tooLong)) { try JID("example.com/\(fits)a") }
        // Three bytes each that become one: refused raw, taken prepared.
        let fullwidth = String(repeating: "\u{FF41}", count: 1023)
        #expect(try BareJID(local: fullwidth, domain: "x").local == String(repeating: "a", count: 1023))
        #expect(throws: JIDError(.domain, .tooLong)) { try JID(String(repeating: "a", count: 100_000)) }
    }

    @Test func `an address of an account must not have a resource`() throws {
        #expect(try BareJID("a@b").description == "a@b")
        #expect(throws: JIDError(.resource, .forbiddenCharacter)) { try BareJID("a@b/c") }
        #expect(try BareJID("a@b").with(resource: "c").description == "a@b/c")
        #expect(throws: JIDError(.resource, .empty)) { try BareJID("a@b").with(resource: "") }
        #expect(try BareJID("a@b").domainJID == BareJID("b"))
        #expect(JID(try BareJID("a@b")).isBare)
    }

    @Test func `an error reads as a sentence`() {
        #expect(JIDError(.local, .empty).description == "the local part is empty")
    }
}
