// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import XML

extension OwnSuites {
    /// `jackdawctl` where several SMs share the users: whoever is asked, the answer is about all of them
    /// (`docs/administration.md`).
    @Suite(.serialized) struct SeveralManagersTests {
        private struct Guest {
            let account: TestClient.Account
            let client: TestClient
            let jid: String
            /// The SM that has the session.
            let manager: String
        }

        /// Somebody who is logged in with stream management, and another one at another SM.
        private func guests(of suite: RunningSuite) async throws -> (Guest, Guest) {
            var found: [Guest] = []
            // The addresses are always the same, and so are their owners.
            for _ in 0..<20 {
                let account = try await suite.addAccount(named: "guest")
                let (client, jid) = try await TestClient.login(account, to: suite, resource: "phone")
                _ = try await client.enableManagement()
                try await client.becomeAvailable(as: jid)
                let rows = try await suite.controlRows(["session", "list", account.bareJID])
                let manager = try #require(rows.first?["manager"])
                found.append(Guest(account: account, client: client, jid: jid, manager: manager))
                if manager != found[0].manager { break }
            }
            let last = try #require(found.last)
            #expect(last.manager != found[0].manager)
            return (found[0], last)
        }

        private func places(_ suite: RunningSuite, _ id: String) async throws -> [[String: String]] {
            let result = try await suite.control(["trace", "message", id, "--json"])
            let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            return (value as? [[String: Any]] ?? []).map { $0.mapValues { "\($0)" } }
        }

        @Test func `accounts, sessions and messages are found wherever they are`() async throws {
            let suite = try await RunningSuite.start(managers: 3)
            defer { suite.stop() }
            let (sender, receiver) = try await guests(of: suite)

            let sessions = try await suite.controlRows(["session", "list"])
            #expect(sessions.compactMap { $0["jid"] } == sessions.compactMap { $0["jid"] }.sorted())
            for guest in [sender, receiver] {
                let row = sessions.first { $0["jid"] == guest.jid }
                #expect(row?["instance"] == "c2s-1" && row?["manager"] == guest.manager)
            }
            let users = try await suite.controlRows(["user", "list"])
            #expect(users.count == sessions.count && users.allSatisfy { $0["sessions"] == "1" })
            let processes = try await suite.controlRows(["status"])
            #expect(processes.filter { $0["process"] == "sm" }.count == 3)

            try await trace(from: sender, to: receiver, suite)
            try await remove(receiver, correspondent: sender, suite)
            try await kick(sender, suite)
        }

        /// A message that its receiver does not acknowledge: at its SM at once, in the spool soon, and there once.
        private func trace(from sender: Guest, to receiver: Guest, _ suite: RunningSuite) async throws {
            try await sender.client.send(
                "<message to='\(receiver.account.bareJID)' type='chat'><body>x</body></message>"
            )
            let message = try await receiver.client.first { $0.name == "message" }
            let id = try #require(message.child("stanza-id", "urn:xmpp:sid:0")?["id"])
            var found: [[String: String]] = []
            for _ in 0..<100 {
                found = try await places(suite, id)
                let sent = found.first { $0["place"] == "sent" }
                #expect(sent?["manager"] == receiver.manager && sent?["session"] == receiver.jid)
                #expect(sent?["instance"] == "c2s-1" && sent?["since"] != nil)
                // Until it has a row, the sender's SM keeps it too.
                for row in found where row["place"] == "forwarded" {
                    #expect(row["manager"] == sender.manager && row["instance"] == receiver.manager)
                }
                if found.map({ $0["place"] }) == ["sent", "spool"] { break }
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(found.map { $0["place"] } == ["sent", "spool"])
            try await receiver.client.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")
            for _ in 0..<100 where !found.isEmpty {
                found = try await places(suite, id)
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(found.isEmpty)
        }

        private func remove(_ guest: Guest, correspondent: Guest, _ suite: RunningSuite) async throws {
            let removed = try await suite.control(["user", "remove", guest.account.bareJID])
            #expect(removed.status == 0, "\(removed.output)")
            let error = try await guest.client.first { $0.name == "error" }
            #expect(error.child("not-authorized", "urn:ietf:params:xml:ns:xmpp-streams") != nil)
            try await correspondent.client.send(
                "<message to='\(guest.account.bareJID)' type='chat' id='late'><body>x</body></message>"
            )
            let answer = try await correspondent.client.first { $0.name == "message" && $0["id"] == "late" }
            #expect(answer.errorCondition == "service-unavailable")
            #expect(try await suite.controlRows(["session", "list", guest.account.bareJID]).isEmpty)
            let twice = try await suite.control(["user", "remove", guest.account.bareJID])
            #expect(twice.status == 1 && twice.output.contains("(item-not-found)"), "\(twice.output)")
            // Whoever makes it again, its owner knows it at once.
            let again = try await suite.control(["user", "add", guest.account.bareJID, "--password", "secret-1"])
            #expect(again.status == 0, "\(again.output)")
            _ = try await TestClient.login(guest.account, to: suite)
        }

        private func kick(_ guest: Guest, _ suite: RunningSuite) async throws {
            let rows = try await suite.controlRows(["session", "kick", guest.account.bareJID])
            #expect(rows.compactMap { $0["jid"] } == [guest.jid])
            let error = try await guest.client.first { $0.name == "error" }
            #expect(error.child("policy-violation", "urn:ietf:params:xml:ns:xmpp-streams") != nil)
        }
    }
}
