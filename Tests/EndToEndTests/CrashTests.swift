// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XML

extension OwnSuites {
    /// `kill -9` of each process, which is then started again: what `docs/protocols.md`, section 2, promises.
    @Suite(.serialized) struct CrashTests {
        @Test func everyProcessMayBeKilled() async throws {
            let suite = try await RunningSuite.start()
            try await shortLossOfTheRouter(suite)
            try await lossOfTheRouter(suite)
            try await lossOfC2S(suite)
            try await lossOfSM(suite)
            suite.stop()
        }

        private struct Pair {
            let romeosAccount: TestClient.Account
            let julietsAccount: TestClient.Account
            var romeo: TestClient
            var juliet: TestClient
            let julietsJID: String
            var romeosStream = ""
            var julietsStream = ""
        }

        /// Two clients with stream management: romeo has sent five messages that are acknowledged to him, juliet has
        /// acknowledged two of them.
        private func makePair(_ suite: RunningSuite) async throws -> Pair {
            let romeosAccount = try await suite.addAccount(named: "romeo")
            let julietsAccount = try await suite.addAccount(named: "juliet")
            let (romeo, _) = try await TestClient.login(romeosAccount, to: suite, resource: "orchard")
            let (juliet, jid) = try await TestClient.login(julietsAccount, to: suite, resource: "balcony")
            var pair = Pair(
                romeosAccount: romeosAccount,
                julietsAccount: julietsAccount,
                romeo: romeo,
                juliet: juliet,
                julietsJID: jid
            )
            try await juliet.becomeAvailable(as: jid)
            pair.romeosStream = try await romeo.enableManagement()
            pair.julietsStream = try await juliet.enableManagement()
            for number in 1...5 {
                try await romeo.send("<message to='\(jid)' type='chat' id='m\(number)'><body>x</body></message>")
            }
            for number in 1...5 {
                let message = try await juliet.first { $0.name == "message" }
                #expect(message["id"] == "m\(number)")
            }
            try await juliet.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")
            try await awaitAcknowledgement(5, of: romeo)
            return pair
        }

        private func awaitAcknowledgement(_ wanted: Int, of client: TestClient) async throws {
            var h = -1
            while h != wanted {
                try await client.send("<r xmlns='urn:xmpp:sm:3'/>")
                h = try await client.first { $0.name == "a" }["h"].flatMap { Int($0) } ?? -1
            }
        }

        private func awaitEnd(of client: TestClient) async throws {
            while true { if case .disconnected = try await client.next() { return } }
        }

        private func kill(_ name: String, of suite: RunningSuite) async throws {
            let process = try suite.process(name)
            process.kill(9)
            try await process.awaitEnd()
        }

        private func restart(_ name: String, of suite: RunningSuite) async throws {
            try suite.launch(name)
            for name in ["router-1", "sm-1", "c2s-1"] { try await suite.awaitReady(name) }
        }

        /// Both resume; juliet gets what she has not acknowledged, once, in order.
        private func resume(_ pair: inout Pair, _ suite: RunningSuite) async throws {
            pair.romeo = try await TestClient.connect(port: suite.clientPort)
            try await pair.romeo.authenticate(pair.romeosAccount)
            #expect(try await pair.romeo.resume(pair.romeosStream, h: 0) == 5)
            pair.juliet = try await TestClient.connect(port: suite.clientPort)
            try await pair.juliet.authenticate(pair.julietsAccount)
            #expect(try await pair.juliet.resume(pair.julietsStream, h: 2) == 0)
            for number in 3...5 {
                let message = try await pair.juliet.first { $0.namespace != "urn:xmpp:sm:3" }
                #expect(message["id"] == "m\(number)")
            }
            try await pair.romeo.send(
                "<message to='\(pair.julietsJID)' type='chat' id='after'><body>x</body></message>"
            )
            let after = try await pair.juliet.first { $0.namespace != "urn:xmpp:sm:3" }
            #expect(after["id"] == "after", "nothing came twice")
            await pair.romeo.breakConnection()
            await pair.juliet.breakConnection()
        }

        /// Nobody notices: what is said meanwhile waits for the router.
        private func shortLossOfTheRouter(_ suite: RunningSuite) async throws {
            let pair = try await makePair(suite)
            let (plain, _) = try await TestClient.login(suite.addAccount(named: "plain"), to: suite)
            try await kill("router-1", of: suite)
            try await pair.romeo.send(
                "<message to='\(pair.julietsJID)' type='chat' id='meanwhile'><body>x</body></message>"
            )
            try await restart("router-1", of: suite)
            #expect(try await pair.juliet.first { $0.name == "message" }["id"] == "meanwhile")
            try await awaitAcknowledgement(6, of: pair.romeo)
            let answer = try await plain.ask("get", to: suite.domain, id: "there", "<ping xmlns='urn:xmpp:ping'/>")
            #expect(answer["type"] == "result")
            for client in [pair.romeo, pair.juliet, plain] { await client.breakConnection() }
        }

        /// It stays away for longer than the channels wait: C2S and SM begin anew, and still nobody notices.
        private func lossOfTheRouter(_ suite: RunningSuite) async throws {
            let pair = try await makePair(suite)
            let (plain, _) = try await TestClient.login(suite.addAccount(named: "plain"), to: suite)
            try await kill("router-1", of: suite)
            try await pair.romeo.send(
                "<message to='\(pair.julietsJID)' type='chat' id='meanwhile'><body>x</body></message>"
            )
            // C2S knows by itself that SM is out of reach.
            while try await !suite.http("c2s-1", "/ready").body.contains("nobody serves") {
                try await Task.sleep(for: .milliseconds(50))
            }
            try await restart("router-1", of: suite)
            #expect(try await pair.juliet.first { $0.name == "message" }["id"] == "meanwhile")
            try await awaitAcknowledgement(6, of: pair.romeo)
            let answer = try await plain.ask("get", to: suite.domain, id: "there", "<ping xmlns='urn:xmpp:ping'/>")
            #expect(answer["type"] == "result")
            for client in [pair.romeo, pair.juliet, plain] { await client.breakConnection() }
        }

        private func lossOfC2S(_ suite: RunningSuite) async throws {
            var pair = try await makePair(suite)
            try await kill("c2s-1", of: suite)
            try await awaitEnd(of: pair.romeo)
            try await awaitEnd(of: pair.juliet)
            try await restart("c2s-1", of: suite)
            try await resume(&pair, suite)
        }

        /// Its clients stay, and what they say meanwhile waits for the next SM: nothing is lost, nothing comes twice, and a
        /// contact sees no flicker of presence. What juliet had not acknowledged is known to the next SM as well.
        private func lossOfSM(_ suite: RunningSuite) async throws {
            var pair = try await makePair(suite)
            let absentee = try await suite.addAccount(named: "absentee")
            let item = "<query xmlns='jabber:iq:roster'><item jid='\(absentee.bareJID)' name='A'/></query>"
            #expect(try await pair.romeo.ask("set", id: "roster", item)["type"] == "result")
            try await pair.romeo.send("<message to='\(absentee.bareJID)' id='waits'><body>x</body></message>")
            try await awaitAcknowledgement(7, of: pair.romeo)
            try await kill("sm-1", of: suite)
            try await pair.romeo.send(
                "<message to='\(pair.julietsJID)' type='chat' id='meanwhile'><body>x</body></message>"
            )
            try await restart("sm-1", of: suite)
            #expect(try await pair.juliet.first { $0.namespace != "urn:xmpp:sm:3" }["id"] == "meanwhile")
            try await awaitAcknowledgement(8, of: pair.romeo)

            await pair.juliet.breakConnection()
            pair.juliet = try await TestClient.connect(port: suite.clientPort)
            try await pair.juliet.authenticate(pair.julietsAccount)
            #expect(try await pair.juliet.resume(pair.julietsStream, h: 2) == 0)
            for id in ["m3", "m4", "m5", "meanwhile"] {
                let message = try await pair.juliet.first { $0.namespace != "urn:xmpp:sm:3" }
                #expect(message["id"] == id)
            }
            let roster = try await pair.romeo.ask("get", id: "roster", "<query xmlns='jabber:iq:roster'/>")
            let items = roster.childElements.first?.childElements.map { $0["jid"] } ?? []
            #expect(items == [absentee.bareJID])
            let (late, _) = try await TestClient.login(absentee, to: suite)
            try await late.send("<presence/>")
            #expect(try await late.first { $0.name == "message" }["id"] == "waits")
            for client in [pair.romeo, pair.juliet, late] { await client.breakConnection() }
        }
    }
}
