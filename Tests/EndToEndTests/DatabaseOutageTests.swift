// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XML

extension OwnSuites {
    /// PostgreSQL goes away and comes back: clients stay, nothing is acknowledged that is not kept, all recovers by itself.
    @Suite(.serialized) struct DatabaseOutageTests {
        @Test func theSuiteLivesThroughAnOutage() async throws {
            let cluster = try PrivateCluster()
            let suite = try await RunningSuite.start(cluster: cluster)
            let absentee = try await suite.addAccount(named: "absentee")
            let julietsAccount = try await suite.addAccount(named: "juliet")
            let (romeo, romeosJID) = try await TestClient.login(suite.addAccount(named: "romeo"), to: suite)
            let (juliet, julietsJID) = try await TestClient.login(julietsAccount, to: suite)
            try await juliet.becomeAvailable(as: julietsJID)
            _ = try await romeo.enableManagement()
            _ = try await juliet.enableManagement()

            try cluster.stop(mode: "immediate")
            try await suite.awaitReady("sm-1", false)
            try await suite.awaitReady("c2s-1", false)
            try await liveMessagesFlow(from: romeo, to: juliet, julietsJID)
            try await romeo.send("<message to='\(absentee.bareJID)' type='chat' id='waits'><body>x</body></message>")
            try await loginsArePutOff(suite, absentee)
            try await administratorsAreTold(suite)

            try cluster.start()
            try await suite.awaitReady("sm-1")
            try await suite.awaitReady("c2s-1")
            // What had to wait for the database is acknowledged now.
            try await awaitAcknowledgement("3", of: romeo)
            try await romeo.send("<message to='\(absentee.bareJID)' type='chat' id='kept'><body>x</body></message>")
            let (late, latesJID) = try await TestClient.login(absentee, to: suite)
            try await late.send("<presence/>")
            for id in ["waits", "kept"] {
                let message = try await late.first { $0.name == "message" }
                #expect(message["id"] == id && message["from"] == romeosJID)
            }
            #expect(latesJID.hasPrefix(absentee.bareJID))
            for client in [romeo, juliet, late] {
                let pong = try await client.ask("get", to: suite.domain, id: "alive", "<ping xmlns='urn:xmpp:ping'/>")
                #expect(pong["type"] == "result")
                await client.breakConnection()
            }
            suite.stop()
        }

        /// Messages between those who are online arrive, and are acknowledged when the receiver has acknowledged them.
        private func liveMessagesFlow(from romeo: TestClient, to juliet: TestClient, _ jid: String) async throws {
            for (number, to) in [jid, String(jid.prefix { $0 != "/" })].enumerated() {
                try await romeo.send("<message to='\(to)' type='chat' id='live\(number)'><body>x</body></message>")
                let message = try await juliet.first { $0.name == "message" }
                #expect(message["id"] == "live\(number)")
            }
            try await juliet.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")
            try await awaitAcknowledgement("2", of: romeo)
        }

        private func awaitAcknowledgement(_ wanted: String, of client: TestClient) async throws {
            var h = ""
            while h != wanted {
                try await client.send("<r xmlns='urn:xmpp:sm:3'/>")
                h = try await client.first { $0.name == "a" }["h"] ?? ""
            }
        }

        private func loginsArePutOff(_ suite: RunningSuite, _ account: TestClient.Account) async throws {
            let client = try await TestClient.connect(port: suite.clientPort)
            try await client.openSecuredStream(to: suite.domain)
            #expect(try await client.tryPassword(account) == "temporary-auth-failure")
            await client.breakConnection()
        }

        private func administratorsAreTold(_ suite: RunningSuite) async throws {
            let list = try await suite.control(["user", "list"])
            #expect(list.status != 0 && list.output.contains("database"), "\(list.output)")
            let status = try await suite.control(["status"])
            #expect(status.status == 1 && status.output.contains("database"), "\(status.output)")
            let check = try await suite.control(["check"])
            #expect(check.status == 78 && check.output.contains("database"), "\(check.output)")
            let sessions = try await suite.controlRows(["session", "list"])
            #expect(sessions.count == 2, "sessions are not the database's")
        }
    }
}
