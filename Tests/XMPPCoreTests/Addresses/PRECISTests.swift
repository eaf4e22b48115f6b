// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import XMPPCore

@Suite struct PRECISTests {
    /// KATAKANA MIDDLE DOT asks for the script of all others, ZERO WIDTH NON-JOINER for the letters around it.
    @Test(arguments: ["\u{30FB}", "\u{628}\u{200C}\u{628}", "\u{0660}", "\u{0300}"])
    func `the cost of a name grows with its length, and not with its square`(character: String) {
        func cost(_ count: Int) -> Duration {
            let letters = String(repeating: "a", count: 3 * count)
            let name = String(repeating: character, count: count) + letters + character + "\u{3042}"
            return (0..<5).map { _ in
                ContinuousClock().measure { _ = try? PRECIS.usernameCaseMapped(name) }
            }.min() ?? .zero
        }
        _ = cost(100)
        #expect(cost(4_000) < cost(500) * 24)
    }

    @Test(
        arguments: [
            // Case: by toLowercase, so that ß stays and the final sigma is told by its place.
            ("Stra\u{DF}e", "stra\u{DF}e"),
            ("STRASSE", "strasse"),
            ("\u{1E9E}", "\u{DF}"),
            ("\u{3A3}\u{39F}\u{3A6}\u{39F}\u{3A3}", "\u{3C3}\u{3BF}\u{3C6}\u{3BF}\u{3C2}"),
            ("\u{3C3}\u{3BF}\u{3C6}\u{3CC}\u{3C3}", "\u{3C3}\u{3BF}\u{3C6}\u{3CC}\u{3C3}"),
            ("\u{130}", "i\u{307}"),
            ("\u{416}\u{423}\u{41A}", "\u{436}\u{443}\u{43A}"),
            // Width: fullwidth Latin and halfwidth katakana.
            ("\u{FF2A}\u{FF55}\u{FF4C}\u{FF49}\u{FF45}\u{FF54}", "juliet"),
            ("\u{FF76}\u{FF9E}", "\u{30AC}"),
            // Normal form C.
            ("e\u{301}", "\u{E9}"),
            ("E\u{301}", "\u{E9}"),
            ("A\u{30A}", "\u{E5}"),
            ("\u{1100}\u{1161}", nil),
            ("\u{AC00}", "\u{AC00}"),
            // Not of the IdentifierClass.
            ("a b", nil), ("a\u{A0}b", nil), ("\u{2163}", nil), ("\u{FB01}", nil), ("\u{212B}", nil), ("\u{2665}", nil),
            ("\u{1F600}", nil), ("a\u{AD}b", nil), ("\u{640}", nil), ("\u{E000}", nil), ("\u{FFFF}", nil),
            ("\u{378}", nil), ("a\u{200E}", nil), ("\u{1C5}", nil), ("", nil),
        ] as [(String, String?)]
    )
    func `UsernameCaseMapped prepares or refuses`(text: String, prepared: String?) {
        #expect((try? PRECIS.usernameCaseMapped(text)).map(scalars) == prepared.map(scalars))
    }

    @Test(
        arguments: [
            ("Foo Bar", "Foo Bar"),
            ("a\u{A0}b\u{3000}c", "a b c"),
            ("\u{FF21}", "\u{FF21}"),
            ("e\u{301}", "\u{E9}"),
            ("\u{2163}", "\u{2163}"),
            ("\u{FB01}", "\u{FB01}"),
            ("\u{1F600}", "\u{1F600}"),
            ("\u{3C0}\u{DF}\u{E5}", "\u{3C0}\u{DF}\u{E5}"),
            ("Jack of \u{2666}s", "Jack of \u{2666}s"),
            ("foo\u{1680}bar", "foo bar"),
            ("\u{5D0}a1", "\u{5D0}a1"),
            ("\u{9}", nil), ("my cat is a \u{9}by", nil), ("", nil), ("a\u{200B}", nil), ("\u{FEFF}", nil),
            ("\u{1100}", nil),
        ] as [(String, String?)]
    )
    func `OpaqueString prepares or refuses`(text: String, prepared: String?) {
        #expect((try? PRECIS.opaqueString(text)).map(scalars) == prepared.map(scalars))
    }

    /// RFC 5893 section 2.
    @Test(arguments: [
        ("\u{5D0}\u{5D1}", true),
        ("\u{5D0}1", true),
        ("\u{5D0}1\u{5D1}", true),
        ("1\u{5D0}", false),
        ("\u{5D0}a", false),
        ("a\u{5D0}", false),
        ("\u{5D0}-", false),
        ("\u{5D0}\u{5B0}", true),
        ("\u{627}\u{661}", true),
        ("\u{627}1", true),
        ("\u{627}1\u{661}", false),
        ("\u{661}", false),
        ("\u{5D0}.\u{5D1}", true),
        ("abc1", true),
    ])
    func `a right-to-left name follows the bidi rule`(text: String, isValid: Bool) {
        #expect(((try? PRECIS.usernameCaseMapped(text)) != nil) == isValid)
    }

    /// RFC 5892 appendix A.
    @Test(arguments: [
        ("l\u{B7}l", true), ("l\u{B7}a", false), ("\u{B7}l", false),
        ("\u{375}\u{3B1}", true), ("\u{375}a", false), ("\u{375}", false),
        ("\u{5D0}\u{5F3}", true), ("\u{5D0}\u{5F4}", true), ("\u{5F3}", false),
        ("\u{30A2}\u{30FB}", true), ("\u{4E00}\u{30FB}", true), ("\u{3042}\u{30FB}a", true), ("a\u{30FB}b", false),
        ("\u{915}\u{94D}\u{200D}", true), ("a\u{200D}", false),
        ("\u{915}\u{94D}\u{200C}\u{937}", true), ("\u{628}\u{200C}\u{628}", true), ("a\u{200C}b", false),
        ("\u{200C}", false), ("\u{200D}", false),
        ("\u{627}\u{661}\u{6F1}", false),
    ])
    func `a contextual code point is taken only in its context`(text: String, isValid: Bool) {
        #expect(((try? PRECIS.usernameCaseMapped(text)) != nil) == isValid)
    }

    @Test(arguments: [
        ("\u{E9}", "e\u{301}"), ("\u{C5}", "A\u{30A}"), ("\u{1E69}", "s\u{323}\u{307}"),
        ("\u{1E69}", "s\u{307}\u{323}"),
    ])
    func `twins in different normal forms are one address`(one: String, other: String) throws {
        #expect(Array(one.unicodeScalars) != Array(other.unicodeScalars))
        let first = try JID(local: one, domain: "x", resource: one)
        let second = try JID(local: other, domain: "x", resource: other)
        #expect(first == second)
        #expect(Array(first.description.utf8) == Array(second.description.utf8))
    }

    /// A profile that changes its own output would give one user two names. Every code point below the CJK ideographs and every seventh above, alone and in company.
    @Test func `preparation is idempotent over all code points`() throws {
        for value in UInt32(0x80)...0x1_FFFF {
            guard value < 0x3400 || value.isMultiple(of: 7), let scalar = Unicode.Scalar(value) else { continue }
            for text in ["\(scalar)", "A\(scalar)", "\u{3A3}\(scalar)"] {
                if let once = try? PRECIS.usernameCaseMapped(text) {
                    let twice = try PRECIS.usernameCaseMapped(once)
                    if scalars(twice) != scalars(once) { Issue.record("user name U+\(String(value, radix: 16))") }
                }
            }
            guard let once = try? PRECIS.opaqueString("\(scalar)\u{301}") else { continue }
            if scalars(try PRECIS.opaqueString(once)) != scalars(once) {
                Issue.record("opaque U+\(String(value, radix: 16))")
            }
        }
    }

    /// Comparison by code points: Swift's own takes canonically equivalent strings for equal.
    private func scalars(_ text: String) -> [UInt32] {
        text.unicodeScalars.map(\.value)
    }
}
