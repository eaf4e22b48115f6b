// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

/// Messages that wait are gone only when the client's stream has acknowledged them.
@Suite struct WaitingMessagesTests {
    /// Five wait; the client says that it is there and resets its connection; the next login gets all five, once.
    @Test(arguments: [false, true])
    func aResetConnectionLosesNoMessages(isManaged: Bool) async throws {
        let suite = try await RunningSuite.shared()
        let account = try await suite.addAccount(named: "reset")
        let (sender, _) = try await TestClient.login(suite.addAccount(named: "sender"), to: suite)
        for round in 0..<100 {
            for number in 0..<5 {
                try await sender.send(
                    "<message to='\(account.bareJID)' type='chat' id='\(round)-\(number)'><body>x</body></message>"
                )
            }
            _ = try await sender.ask("get", to: suite.domain, id: "sent", "<ping xmlns='urn:xmpp:ping'/>")

            let (lost, _) = try await TestClient.login(account, to: suite)
            if isManaged { _ = try await lost.enableManagement() }
            try await lost.send("<presence/>")
            await lost.resetConnection()

            let (client, jid) = try await TestClient.login(account, to: suite)
            try await client.send("<presence/>")
            var ids: [String] = []
            while ids.count < 5 {
                let element = try await client.first { $0.name == "message" }
                ids.append(element["id"] ?? "")
            }
            #expect(ids == (0..<5).map { "\(round)-\($0)" })
            try await client.send("<iq type='get' to='\(suite.domain)' id='end'><ping xmlns='urn:xmpp:ping'/></iq>")
            let next = try await client.first { $0.name == "message" || $0.name == "iq" }
            #expect(next["id"] == "end", "\(jid) got something twice")
            try await client.send("</stream:stream>")
            while true { if case .streamClosed = try await client.next() { break } }
            await client.breakConnection()
        }
        await sender.breakConnection()
    }
}
