// SPDX-License-Identifier: Apache-2.0

import Config
import Testing

@testable import S2S

@Suite struct RuleTests {
    private func pattern(_ text: String) -> JackdawConfiguration.DomainPattern {
        JackdawConfiguration.DomainPattern(
            domain: text.hasPrefix("=") ? String(text.dropFirst()) : text,
            isExact: text.hasPrefix("=")
        )
    }

    @Test(
        "Whom the lists allow",
        arguments: [
            ([], [], "x.net", true),
            (["x.net"], [], "x.net", true), (["x.net"], [], "chat.x.net", true), (["x.net"], [], "notx.net", false),
            (["=x.net"], [], "x.net", true), (["=x.net"], [], "chat.x.net", false),
            ([], ["x.net"], "chat.x.net", false), ([], ["=x.net"], "chat.x.net", true),
            (["x.net"], ["bad.x.net"], "good.x.net", true), (["x.net"], ["bad.x.net"], "very.bad.x.net", false),
        ] as [([String], [String], String, Bool)]
    )
    func lists(allow: [String], deny: [String], domain: String, expected: Bool) {
        let rules = Conversation.rules("b.example") {
            $0.s2s.allow = allow.map(self.pattern)
            $0.s2s.deny = deny.map(self.pattern)
        }
        #expect(rules.allows(domain) == expected)
    }

    @Test func `The entry with the longest name counts`() {
        let rules = Conversation.rules("b.example") { configuration in
            for (name, tls) in [
                ("x.net", JackdawConfiguration.FederationPolicy.TLSUse.optional), ("a.x.net", .required),
            ] {
                var entry = JackdawConfiguration.RemoteDomain()
                entry.pattern = self.pattern(name)
                entry.policy.tls = tls
                configuration.s2s.domains.append(entry)
            }
        }
        #expect(rules.policy(for: "x.net").tls == .optional && rules.policy(for: "c.x.net").tls == .optional)
        #expect(rules.policy(for: "b.a.x.net").tls == .required && rules.policy(for: "y.net").tls == .required)
    }

    @Test func `Keys are those of XEP-0185's example`() {
        let key = DialbackKey(secret: "s3cr3tf0rd14lb4ck")
        #expect(
            key.key(receiving: "xmpp.example.com", originating: "example.org", streamID: "D60000229F")
                == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        )
    }
}
