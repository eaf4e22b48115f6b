// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

/// What the processes announce together (RFC 6120 section 4.3.2).
@Suite struct StreamFeatureTests {
    @Test func noFeatureIsAnnouncedTwice() async throws {
        let suite = try await RunningSuite.shared()
        let client = try await TestClient.connect(port: suite.clientPort)
        let clear = try await client.openStream(to: suite.domain)
        try await client.startTLS()
        let secured = try await client.openStream(to: suite.domain)
        let account = try await suite.addAccount(named: "reader")
        #expect(try await client.tryPassword(account) == "success")
        let authenticated = try await client.openStream(to: suite.domain)
        for features in [clear, secured, authenticated] {
            let names = features.childElements.map { "\($0.name) \($0.namespace)" }
            #expect(names.count == Set(names).count, "\(names)")
        }
        #expect(authenticated.child("session", "urn:ietf:params:xml:ns:xmpp-session") != nil)
        await client.breakConnection()
    }
}
