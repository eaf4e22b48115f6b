// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

extension OwnSuites {
    /// The limits that hold one client, or one who guesses, down: in a suite where they are low.
    @Suite(.serialized) struct LimitTests {
        private static let limits = """
              limits:
                stanzas_per_second: 10
                connections_per_address: 6
                login_failures: 3
                login_failures_per_account: 4
                login_failures_per_address: 6
            """

        @Test func limitsHold() async throws {
            let suite = try await RunningSuite.start(c2s: Self.limits)
            async let pings: Void = twoHundredPings(suite)
            try await connectionsPerAddress(suite)
            try await failuresPerStreamAndAccount(suite)
            try await failuresPerAddress(suite)
            try await pings
            suite.stop()
        }

        /// A stanza limit of 10/s: 200 pings take at least 19 s, on a stream that stays up and answers all, in order.
        private func twoHundredPings(_ suite: RunningSuite) async throws {
            let account = try await suite.addAccount(named: "hasty")
            let (client, _) = try await TestClient.login(account, to: suite, source: "127.0.4.1")
            let start = ContinuousClock.now
            for number in 0..<200 {
                try await client.send(
                    "<iq type='get' to='\(suite.domain)' id='p\(number)'><ping xmlns='urn:xmpp:ping'/></iq>"
                )
            }
            for number in 0..<200 {
                let answer = try await client.element()
                #expect(answer.name == "iq" && answer["type"] == "result" && answer["id"] == "p\(number)")
            }
            let duration = ContinuousClock.now - start
            #expect(duration >= .seconds(19), "\(duration)")
            #expect(duration < .seconds(30), "\(duration)")
            #expect(client.isConnected)
            await client.breakConnection()
        }

        private func connectionsPerAddress(_ suite: RunningSuite) async throws {
            var clients: [TestClient] = []
            for _ in 0..<6 {
                let client = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.2")
                try await client.openStream(to: suite.domain)
                clients.append(client)
            }
            let surplus = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.2")
            #expect(try await surplus.streamError() == "policy-violation")
            let surplusTLS = try await TestClient.connect(
                port: suite.directTLSPort,
                directTLS: true,
                source: "127.0.4.2"
            )
            #expect(try await surplusTLS.streamError() == "none")
            let other = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.3")
            try await other.openStream(to: suite.domain)
            await other.breakConnection()
            for client in clients { await client.breakConnection() }
        }

        /// Three tries on a stream; four for an account, from wherever; who has logged in from an address before may.
        private func failuresPerStreamAndAccount(_ suite: RunningSuite) async throws {
            let account = try await suite.addAccount(named: "guessed")
            let wrong = TestClient.Account(user: account.user, domain: account.domain, password: "wrong")
            let (known, _) = try await TestClient.login(account, to: suite, source: "127.0.4.4")
            await known.breakConnection()

            let first = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.5")
            try await first.openSecuredStream(to: suite.domain)
            for _ in 0..<3 { #expect(try await first.tryPassword(wrong) == "not-authorized") }
            #expect(try await first.streamError() == "policy-violation")

            let second = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.6")
            try await second.openSecuredStream(to: suite.domain)
            #expect(try await second.tryPassword(wrong) == "not-authorized")
            // Now even the right password is of no use to a stranger, but the owner's own address is not locked out.
            #expect(try await second.tryPassword(account) == "temporary-auth-failure")
            let (owner, _) = try await TestClient.login(account, to: suite, source: "127.0.4.4")
            await owner.breakConnection()
            await second.breakConnection()
        }

        /// Six failures from an address, for whatever accounts, also such as do not exist.
        private func failuresPerAddress(_ suite: RunningSuite) async throws {
            let account = try await suite.addAccount(named: "innocent")
            for block in 0..<2 {
                let client = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.7")
                try await client.openSecuredStream(to: suite.domain)
                for number in 0..<3 {
                    let nobody = TestClient.Account(user: "n\(block)\(number)", domain: suite.domain, password: "x")
                    #expect(try await client.tryPassword(nobody) == "not-authorized")
                }
                #expect(try await client.streamError() == "policy-violation")
            }
            let client = try await TestClient.connect(port: suite.clientPort, source: "127.0.4.7")
            try await client.openSecuredStream(to: suite.domain)
            #expect(try await client.tryPassword(account) == "temporary-auth-failure")
            await client.breakConnection()
            let (elsewhere, _) = try await TestClient.login(account, to: suite, source: "127.0.4.8")
            await elsewhere.breakConnection()
        }

        /// Who says more than the rate allows, and goes without waiting for the end of the stream.
        @Test func whatAClientSentBeforeItWentArrives() async throws {
            let suite = try await RunningSuite.shared()
            let romeo = try await suite.addAccount(named: "romeo")
            let (receiver, jid) = try await TestClient.login(romeo, to: suite, resource: "here")
            try await receiver.becomeAvailable(as: jid)
            let account = try await suite.addAccount(named: "juliet")
            let (sender, _) = try await TestClient.login(account, to: suite)
            let count = 300
            let messages = (0..<count).map { number in
                "<message to='\(romeo.bareJID)' type='chat' id='\(number)'><body>x</body></message>"
            }
            try await sender.send(messages.joined() + "</stream:stream>")
            await sender.breakConnection()
            for number in 0..<count {
                let message = try await receiver.first { $0.name == "message" }
                #expect(message["id"] == "\(number)")
            }
            await receiver.breakConnection()
        }
    }
}
