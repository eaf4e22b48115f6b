// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XML

extension OwnSuites {
    /// A roster of 5,000 contacts under the default limits: what the server itself causes is not charged to the
    /// client.
    @Suite(.serialized) struct BigRosterTests {
        private static let contacts = 5_000

        /// All contacts are there with two clients each and answer the probe; some ask what the client can do, and it
        /// answers.
        @Test func aRosterOfFiveThousandContactsLogsIn() async throws {
            let suite = try await RunningSuite.start()
            let account = try await suite.addAccount(named: "popular")
            try fillRoster(of: account, suite, contacts: Self.contacts)
            let component = try await TestComponent.connect(to: suite, name: suite.componentName)
            let contacts = Task { try await Self.playContacts(component) }

            let (client, jid) = try await TestClient.login(account, to: suite, resource: "here")
            _ = try await client.enableManagement()
            try await client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
            var seen = Seen()
            while seen.presences < 2 * Self.contacts || seen.requests < Self.contacts / 10 || !seen.isSelfSeen {
                try await seen.take(client.element(), jid, client)
            }
            #expect(seen.items == Self.contacts)
            #expect(try await client.ask("get", to: suite.domain, id: "end", Self.ping)["type"] == "result")

            let metrics = try await suite.http("c2s-1", "/metrics").body
            #expect(metrics.contains("\njackdaw_c2s_throttled_total 0\n"))
            #expect(metrics.contains("\njackdaw_c2s_slow_clients_total 0\n"))
            #expect(try await suite.controlRows(["session", "list"]).count == 1)
            contacts.cancel()
            await component.client.breakConnection()
            await client.breakConnection()
            suite.stop()
        }

        /// Rosters are bounded when they are changed, but the database may hold one from elsewhere: an answer that is
        /// longer than a stanza may be between the processes must not cost SM its link.
        @Test func aRosterThatDoesNotFitHarmsNobody() async throws {
            let suite = try await RunningSuite.shared()
            let (bystander, _) = try await TestClient.login(suite.addAccount(named: "bystander"), to: suite)
            let account = try await suite.addAccount(named: "imported")
            try fillRoster(of: account, suite, contacts: 10_000, name: String(repeating: "n", count: 300))
            let (client, _) = try await TestClient.login(account, to: suite)
            let answer = try await client.ask("get", id: "roster", "<query xmlns='jabber:iq:roster'/>")
            #expect(answer.errorCondition == "resource-constraint")
            for other in [client, bystander] {
                #expect(try await other.ask("get", to: suite.domain, id: "end", Self.ping)["type"] == "result")
                await other.breakConnection()
            }
        }

        private static let ping = "<ping xmlns='urn:xmpp:ping'/>"

        private func fillRoster(
            of account: TestClient.Account,
            _ suite: RunningSuite,
            contacts: Int,
            name: String = "Contact Number"
        ) throws {
            try suite.cluster.execute(
                """
                INSERT INTO roster_items (user_id, contact, name, subscription, ask, approved, groups, version)
                SELECT id, 'contact.number.' || n || '@\(suite.componentName)', '\(name) ' || n, 'both', false,
                    false, ARRAY['Group ' || n % 20], n
                FROM users, generate_series(1, \(contacts)) AS n WHERE local = '\(account.user)';
                INSERT INTO roster_versions (user_id, version)
                SELECT id, \(contacts) FROM users WHERE local = '\(account.user)'
                """,
                in: suite.database
            )
        }

        /// Answers each probe with two presences of a common size, and every tenth also with a request.
        private static func playContacts(_ component: TestComponent) async throws {
            var (probes, answers) = (0, "")
            while probes < Self.contacts {
                guard case .element(let probe) = try await component.client.next(within: 60) else { return }
                guard probe["type"] == "probe", let contact = probe["to"], let user = probe["from"] else { continue }
                probes += 1
                for resource in ["home", "phone"] {
                    answers +=
                        "<presence from='\(contact)/\(resource)' to='\(user)'><priority>5</priority><show>away</show>"
                        + "<status>Out for lunch</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
                        + "node='https://client.example.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
                        + "<x xmlns='vcard-temp:x:update'><photo>da39a3ee5e6b4b0d3255bfef95601890afd80709</photo></x>"
                        + "</presence>"
                }
                guard probes % 10 == 0 else { continue }
                answers +=
                    "<iq type='get' from='\(contact)/home' to='\(user)' id='info'>"
                    + "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                try await component.client.send(answers)
                answers = ""
            }
        }

        /// What the client has received so far.
        private struct Seen {
            var items = 0
            var presences = 0
            var requests = 0
            var isSelfSeen = false
            private var counted = 0

            mutating func take(_ element: Element, _ jid: String, _ client: TestClient) async throws {
                switch element.name {
                case "r": return try await client.send("<a xmlns='urn:xmpp:sm:3' h='\(counted)'/>")
                case "presence" where element["from"] == jid: isSelfSeen = true
                case "presence": presences += 1
                case "iq" where element["id"] == "roster":
                    items = element.child("query", "jabber:iq:roster")?.childElements.count ?? 0
                case "iq" where element["type"] == "get":
                    requests += 1
                    try await client.send(
                        "<iq type='result' to='\(element["from"] ?? "")' id='\(element["id"] ?? "")'>"
                            + "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                    )
                default: return
                }
                counted += 1
            }
        }
    }
}
