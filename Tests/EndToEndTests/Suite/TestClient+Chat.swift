// SPDX-License-Identifier: Apache-2.0

import SASL
import XML

extension TestClient {
    /// Connects, logs in and binds a resource; returns the client and its full JID.
    static func login(
        _ account: Account,
        to suite: RunningSuite,
        resource: String? = nil,
        source: String? = nil,
        port: Int? = nil
    ) async throws -> (client: TestClient, jid: String) {
        let client = try await TestClient.connect(port: port ?? suite.clientPort, source: source)
        try await client.authenticate(account)
        return (client, try await client.bind(resource))
    }

    /// The next element that is like this one; others are thrown away.
    func first(where isWanted: (Element) -> Bool) async throws -> Element {
        while true {
            let element = try await element()
            if isWanted(element) { return element }
        }
    }

    /// Announces the client, and waits until the server has handled it (RFC 6121 section 4.2.2).
    func becomeAvailable(as jid: String) async throws {
        try await send("<presence/>")
        _ = try await first { $0.name == "presence" && $0["from"] == jid }
    }

    /// Sends an IQ and waits for its answer; what else comes is thrown away.
    func ask(_ type: String, to: String? = nil, id: String, _ payload: String) async throws -> Element {
        let to = to.map { " to='\($0)'" } ?? ""
        try await send("<iq type='\(type)'\(to) id='\(id)'>\(payload)</iq>")
        return try await first { $0.name == "iq" && $0["id"] == id }
    }

    /// Switches stream management with resumption on; returns the id of the stream.
    func enableManagement() async throws -> String {
        try await send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        let enabled = try await first { $0.namespace == "urn:xmpp:sm:3" }
        guard enabled.name == "enabled", let id = enabled["id"] else { throw Failure("not enabled: \(enabled)") }
        return id
    }

    /// Resumes a stream; returns the `h` of the server.
    func resume(_ id: String, h: Int) async throws -> Int {
        try await send("<resume xmlns='urn:xmpp:sm:3' previd='\(id)' h='\(h)'/>")
        let answer = try await element()
        guard answer.name == "resumed", let h = answer["h"].flatMap({ Int($0) }) else {
            throw Failure("not resumed: \(answer)")
        }
        return h
    }

    /// Tries SASL PLAIN on a stream that is ready for it; returns the failure's condition, or `success`.
    func tryPassword(_ account: Account) async throws -> String {
        let response = Digest.base64(Array("\0\(account.user)\0\(account.password)".utf8))
        try await send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\(response)</auth>")
        let answer = try await element()
        return answer.name == "failure" ? answer.childElements.first?.name ?? "empty" : answer.name
    }

    /// Opens a stream and secures it.
    func openSecuredStream(to domain: String) async throws {
        try await openStream(to: domain)
        try await startTLS()
        try await openStream(to: domain)
    }
}

extension Element {
    /// The condition of a stanza error.
    var errorCondition: String? {
        childElements.first { $0.name == "error" }?.childElements
            .first { $0.namespace == "urn:ietf:params:xml:ns:xmpp-stanzas" && $0.name != "text" }?.name
    }

    /// The type of a stanza error.
    var errorType: String? { childElements.first { $0.name == "error" }?["type"] }
}
