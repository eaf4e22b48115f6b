// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XML

extension OwnSuites {
    /// XEP-0077 where it is switched on; that it is off by default is the shared suite's.
    @Suite(.serialized) struct RegistrationTests {
        private static let namespace = "jabber:iq:register"

        @Test func accountsAreRegisteredChangedAndRemovedInBand() async throws {
            let suite = try await RunningSuite.start(
                configuration: "registration:\n  enabled: true\n  per_address: 2"
            )
            let account = TestClient.Account(user: "newcomer", domain: suite.domain, password: "secret-one")
            let client = try await register(account, suite)
            try await registerTooMany(account, suite)
            let changed = try await changePassword(account, client, suite)
            try await remove(changed, client, suite)
            suite.stop()
        }

        @Test func itIsOffByDefault() async throws {
            let suite = try await RunningSuite.shared()
            let client = try await TestClient.connect(port: suite.clientPort)
            try await client.openStream(to: suite.domain)
            try await client.startTLS()
            let features = try await client.openStream(to: suite.domain)
            #expect(features.child("register", "http://jabber.org/features/iq-register") == nil)
            try await client.send("<iq type='get' id='r'><query xmlns='\(Self.namespace)'/></iq>")
            #expect(try await client.streamError() == "not-authorized")
            await client.breakConnection()
        }

        /// Registers on a fresh connection and logs in on it.
        private func register(_ account: TestClient.Account, _ suite: RunningSuite) async throws -> TestClient {
            let client = try await TestClient.connect(port: suite.clientPort)
            try await client.openStream(to: suite.domain)
            try await client.startTLS()
            let features = try await client.openStream(to: suite.domain)
            #expect(features.child("register", "http://jabber.org/features/iq-register") != nil)
            let form = try await client.ask("get", id: "form", "<query xmlns='\(Self.namespace)'/>")
            let fields = form.child("query", Self.namespace)
            #expect(
                fields?.child("username", Self.namespace) != nil && fields?.child("password", Self.namespace) != nil
            )
            let short = try await client.ask("set", id: "short", Self.query(account.user, "short"))
            #expect(short.errorCondition == "not-acceptable")
            #expect(
                try await client.ask("set", id: "set", Self.query(account.user, account.password))["type"] == "result"
            )
            #expect(try await client.tryPassword(account) == "success")
            try await client.openStream(to: suite.domain)
            try await client.bind("here")
            return client
        }

        private func registerTooMany(_ account: TestClient.Account, _ suite: RunningSuite) async throws {
            let client = try await TestClient.connect(port: suite.clientPort)
            try await client.openSecuredStream(to: suite.domain)
            let twice = try await client.ask("set", id: "twice", Self.query(account.user, account.password))
            #expect(twice.errorCondition == "conflict")
            let second = try await client.ask("set", id: "second", Self.query("second", account.password))
            #expect(second["type"] == "result")
            let third = try await client.ask("set", id: "third", Self.query("third", account.password))
            #expect(third.errorCondition == "resource-constraint" && third.errorType == "wait")
            await client.breakConnection()
        }

        private func changePassword(
            _ account: TestClient.Account,
            _ client: TestClient,
            _ suite: RunningSuite
        ) async throws -> TestClient.Account {
            let query = Self.query(account.user, "secret-two")
            #expect(try await client.ask("set", to: suite.domain, id: "change", query)["type"] == "result")
            let other = try await client.ask("set", to: suite.domain, id: "other", Self.query("second", "secret-two"))
            #expect(other["type"] == "error")
            let changed = TestClient.Account(user: account.user, domain: account.domain, password: "secret-two")
            let next = try await TestClient.connect(port: suite.clientPort)
            try await next.openSecuredStream(to: suite.domain)
            #expect(try await next.tryPassword(account) == "not-authorized")
            #expect(try await next.tryPassword(changed) == "success")
            await next.breakConnection()
            return changed
        }

        /// After the removal no row of the user is left, in whatever table.
        private func remove(_ account: TestClient.Account, _ client: TestClient, _ suite: RunningSuite) async throws {
            for (id, payload) in [
                ("roster", "<query xmlns='jabber:iq:roster'><item jid='a@b.example'/></query>"),
                ("vcard", "<vCard xmlns='vcard-temp'><FN>N</FN></vCard>"),
                ("private", "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>"),
                ("block", "<block xmlns='urn:xmpp:blocking'><item jid='c@d.example'/></block>"),
            ] { #expect(try await client.ask("set", id: id, payload)["type"] == "result", "\(id)") }
            let user = "SELECT id FROM users WHERE local = '\(account.user)'"
            let id = try suite.cluster.execute(user, in: suite.database)
            #expect(try rows(of: id, suite) > 4)
            #expect(
                try await client.ask("set", id: "end", "<query xmlns='\(Self.namespace)'><remove/></query>")["type"]
                    == "result"
            )
            #expect(try await client.streamError() == "not-authorized")
            await client.breakConnection()
            #expect(try rows(of: id, suite) == 0)
            let text = "SELECT count(*) FROM credentials WHERE local = '\(account.user)'"
            #expect(try suite.cluster.execute(text, in: suite.database) == "0")
            #expect(try suite.cluster.execute(user, in: suite.database) == "")
        }

        /// The rows with this user's number in all tables that have it.
        private func rows(of id: String, _ suite: RunningSuite) throws -> Int {
            let tables = try suite.cluster.execute(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'user_id' AND table_schema = 'public'",
                in: suite.database
            ).split(separator: "\n")
            #expect(tables.count > 5)
            return try tables.reduce(0) { sum, table in
                let text = "SELECT count(*) FROM \(table) WHERE user_id = \(id)"
                return try sum + (Int(suite.cluster.execute(text, in: suite.database)) ?? 0)
            }
        }

        private static func query(_ user: String, _ password: String) -> String {
            "<query xmlns='\(namespace)'><username>\(user)</username><password>\(password)</password></query>"
        }
    }
}
