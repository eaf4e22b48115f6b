// SPDX-License-Identifier: Apache-2.0

import SASL
import XML

extension TestClient {
    struct Account: Sendable {
        let user: String
        let domain: String
        let password: String
        var bareJID: String { "\(user)@\(domain)" }
    }

    /// STARTTLS, SASL PLAIN and the stream that follows; returns its features.
    @discardableResult
    func authenticate(_ account: Account) async throws -> Element {
        try await openStream(to: account.domain)
        try await startTLS()
        try await openStream(to: account.domain)
        let response = Digest.base64(Array("\0\(account.user)\0\(account.password)".utf8))
        try await send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\(response)</auth>")
        let answer = try await element()
        guard answer.name == "success" else { throw Failure("login of \(account.user) failed: \(answer)") }
        return try await openStream(to: account.domain)
    }

    /// Binds a resource and returns the full JID.
    @discardableResult
    func bind(_ resource: String?) async throws -> String {
        let child = resource.map { "<resource>\($0)</resource>" } ?? ""
        try await send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\(child)</bind></iq>"
        )
        let result = try await element()
        guard
            let jid = result.child("bind", "urn:ietf:params:xml:ns:xmpp-bind")?.child(
                "jid",
                "urn:ietf:params:xml:ns:xmpp-bind"
            )?.text
        else { throw Failure("no resource was bound: \(result)") }
        return jid
    }
}
