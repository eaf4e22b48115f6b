// SPDX-License-Identifier: Apache-2.0

import XML

/// One actor of a running scenario: its connection, what waits to be looked at, its XEP-0198 counters.
final class ScenarioActor {
    let account: TestClient.Account
    private(set) var client: TestClient?
    private var waiting: [Element] = []
    private var received: UInt32 = 0
    private var sent: UInt32 = 0
    private var acknowledged: UInt32 = 0
    private var isManaged = false
    private var resumptionID: String?
    private var pings = 0

    init(account: TestClient.Account) { self.account = account }

    func connect(port: Int, resource: String, managed: Bool, presence: String?) async throws {
        let client = try await TestClient.connect(port: port)
        self.client = client
        waiting = []
        isManaged = false
        try await client.authenticate(account)
        let jid = try await client.bind(resource)
        if managed { try await enable() }
        guard let presence else { return }
        let priority = presence == "0" ? "" : "<priority>\(presence)</priority>"
        try await send("<presence>\(priority)</presence>")
        while true {
            let element = try await take()
            // One's own presence comes back (RFC 6121 section 4.2.2): then the server has handled it.
            if element.name == "presence", element["from"] == jid { return }
            waiting.append(element)
        }
    }

    private func enable() async throws {
        try await client?.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        guard let enabled = try await client?.element(), enabled.name == "enabled", let id = enabled["id"] else {
            throw TestClient.Failure("stream management was not enabled with resumption")
        }
        (isManaged, received, sent, acknowledged, resumptionID) = (true, 0, 0, 0, id)
    }

    func resume(port: Int) async throws {
        let client = try await TestClient.connect(port: port)
        self.client = client
        try await client.authenticate(account)
        let id = resumptionID ?? ""
        try await client.send("<resume xmlns='urn:xmpp:sm:3' previd='\(id)' h='\(received)'/>")
        let answer = try await client.element()
        guard answer.name == "resumed", let h = answer["h"].flatMap(UInt32.init) else {
            throw TestClient.Failure("the stream was not resumed: \(answer)")
        }
        guard h == sent else { throw TestClient.Failure("resumed with h=\(h), but \(sent) stanzas were sent") }
    }

    func send(_ xml: String) async throws {
        guard let client else { throw TestClient.Failure("not connected") }
        sent &+= 1
        try await client.send(xml)
    }

    /// The next stanza; XEP-0198 elements are taken note of and left out.
    func take() async throws -> Element {
        guard let client else { throw TestClient.Failure("not connected") }
        while true {
            let element = try await client.element()
            guard element.namespace == "urn:xmpp:sm:3" else {
                received &+= 1
                return element
            }
            if element.name == "r" { try await acknowledge() }
            if element.name == "a", let h = element["h"].flatMap(UInt32.init) { acknowledged = h }
        }
    }

    func nextStanza() async throws -> Element {
        waiting.isEmpty ? try await take() : waiting.removeFirst()
    }

    /// A ping comes back before anything else does.
    func receiveNothing() async throws {
        pings += 1
        let id = "nothing-\(pings)"
        try await send("<iq type='get' id='\(id)' to='\(account.domain)'><ping xmlns='urn:xmpp:ping'/></iq>")
        let element = try await nextStanza()
        guard element.name == "iq", element["id"] == id else {
            throw TestClient.Failure("received what was not expected: \(element)")
        }
    }

    func acknowledge() async throws {
        try await client?.send("<a xmlns='urn:xmpp:sm:3' h='\(received)'/>")
    }

    func awaitAcknowledgement() async throws {
        try await client?.send("<r xmlns='urn:xmpp:sm:3'/>")
        while acknowledged != sent {
            guard let element = try await client?.element() else { return }
            if element.namespace == "urn:xmpp:sm:3", element.name == "a" {
                acknowledged = element["h"].flatMap(UInt32.init) ?? acknowledged
            } else {
                received &+= 1
                waiting.append(element)
            }
        }
    }

    func disconnect() async throws {
        guard let client else { return }
        try await client.send("</stream:stream>")
        while true {
            switch try await client.next() {
            case .streamClosed, .disconnected:
                await client.breakConnection()
                return
            case .element, .streamOpened: continue
            }
        }
    }

    func breakConnection() async { await client?.breakConnection() }
}
