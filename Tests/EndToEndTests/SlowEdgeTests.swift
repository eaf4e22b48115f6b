// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing
import XML

extension OwnSuites {
    /// A C2S that stands still for a moment while much is sent to its clients.
    @Suite(.serialized) struct SlowEdgeTests {
        private static let sessions = 30
        private static let messages = 3

        @Test func aC2SThatStandsStillKeepsItsLinkAndItsClients() async throws {
            let suite = try await RunningSuite.start()
            let component = try await TestComponent.connect(to: suite, name: suite.otherComponentName)
            let account = try await suite.addAccount(named: "many")
            var clients: [TestClient] = []
            for number in 0..<Self.sessions {
                let (client, jid) = try await TestClient.login(account, to: suite, resource: "r\(number)")
                try await client.becomeAvailable(as: jid)
                _ = try await client.enableManagement()
                clients.append(client)
            }

            let edge = try suite.process("c2s-1")
            edge.kill(SIGSTOP)
            // A copy for each: 40 MB, more than the sockets and the router's queue hold.
            let body = String(repeating: "x", count: 450_000)
            for number in 0..<Self.messages {
                try await component.client.send(
                    "<message from='\(component.name)' to='\(account.bareJID)' type='chat' id='m\(number)'>"
                        + "<body>\(body)</body></message>"
                )
            }
            try await component.client.send(
                "<iq type='get' from='\(component.name)' to='\(suite.domain)' id='done'>"
                    + "<ping xmlns='urn:xmpp:ping'/></iq>"
            )
            _ = try await component.client.first { $0["id"] == "done" }
            try await awaitStandstill(suite)
            edge.kill(SIGCONT)

            for client in clients {
                for number in 0..<Self.messages {
                    let message = try await client.first { $0.name == "message" }
                    #expect(message["id"] == "m\(number)")
                }
                #expect(client.isConnected)
                await client.breakConnection()
            }
            #expect(try await resets(suite) == 0)
            suite.stop()
        }

        /// Waits until the router gets no more for the C2S.
        private func awaitStandstill(_ suite: RunningSuite) async throws {
            var last = -1
            while true {
                let queued = try await metric("jackdaw_router_queued_bytes", suite)
                if queued == last { return }
                last = queued
                try await Task.sleep(for: .milliseconds(200))
            }
        }

        private func resets(_ suite: RunningSuite) async throws -> Int {
            try await metric("jackdaw_router_resets_total", suite)
        }

        private func metric(_ name: String, _ suite: RunningSuite) async throws -> Int {
            let text = try await suite.http("router-1", "/metrics").body
            let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
            return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
        }
    }
}
