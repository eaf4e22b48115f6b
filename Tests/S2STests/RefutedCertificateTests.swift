// SPDX-License-Identifier: Apache-2.0

import Config
import Testing

@testable import S2S

/// What TLSA records refute, nothing else proves (RFC 7673): the rest of the policy does not matter.
@Suite struct RefutedCertificateTests {
    private func objection(
        _ verdict: CertificateVerdict,
        _ change: (inout JackdawConfiguration.FederationPolicy) -> Void = { _ in }
    ) -> String? {
        let rules = Conversation.rules("b.example") { change(&$0.s2s.policy) }
        let identity = PeerIdentity(tlsVersion: "TLSv1.3", cipher: "", certificate: nil) { _ in verdict }
        return rules.objection(to: identity, of: "a.example", method: verdict.method ?? .dialback)
    }

    @Test func `a refuted certificate is an objection in every policy`() {
        let refuted = CertificateVerdict.refuted("does not match")
        #expect(self.objection(refuted) == "has a certificate that does not match")
        for authentication in JackdawConfiguration.FederationPolicy.Authentication.allCases {
            #expect(
                self.objection(refuted) {
                    $0.authentication = authentication
                    $0.selfSigned = .accept
                } != nil
            )
        }
    }

    @Test func `a doubtful one may be followed by dialback`() {
        #expect(self.objection(.doubtful("is signed by itself")) == nil)
        #expect(self.objection(.doubtful("is signed by itself")) { $0.selfSigned = .refuse } != nil)
        #expect(self.objection(.proved(.certificate)) { $0.dane = .required } != nil)
        #expect(self.objection(.proved(.dane)) { $0.dane = .required } == nil)
    }

    @Test func `who connects proves its domain by dialback where DANE is required`() {
        let conversation = Conversation(receiver: { $0.s2s.policy.dane = .required })
        let log = conversation.run()
        #expect(log.contains("< authenticated a.example to b.example by dialback"))
        #expect(!log.contains { $0.contains("a.example to b.example by certificate") })
    }

    @Test(arguments: [true, false])
    func `without TLS nothing is proved that needs it, though TLS is optional`(isClient: Bool) {
        for change in [
            { $0.dane = .required }, { $0.authentication = .certificate },
        ] as [(inout JackdawConfiguration.FederationPolicy) -> Void] {
            let rules = Conversation.rules("b.example") {
                $0.s2s.policy.tls = .optional
                change(&$0.s2s.policy)
            }
            let objection = rules.objection(to: nil, of: "a.example", method: .dialback, isClient: isClient)
            #expect(objection == "offers no encryption, and this server requires it")
        }
    }

    @Test func `a stream to a server whose certificate is refuted ends`() throws {
        let conversation = Conversation()
        conversation.ofReceiver = .refuted("does not match the TLSA records of the domain")
        let log = conversation.run()
        #expect(log.contains { $0.contains("TLSA") })
        #expect(!log.contains { $0.contains("authenticated") })
    }
}
