// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing
import XML

extension OwnSuites {
    /// SIGHUP: what a running suite takes of a changed configuration, and what it says of the rest.
    @Suite(.serialized) struct ReloadTests {
        private static let processes = ["router-1", "sm-1", "c2s-1"]

        @Test func aRunningSuiteTakesWhatItCanAndNamesTheRest() async throws {
            let suite = try await RunningSuite.start()
            let (client, _) = try await TestClient.login(suite.addAccount(named: "stayer"), to: suite)
            let kept = try await suite.addAccount(named: "kept", domain: suite.secondDomain)
            let expiry = try await certificateEnd(suite)
            #expect(try await client.ask("get", id: "v1", Self.vcard).errorCondition == "item-not-found")

            try ChildProcess.run([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "90", "-subj", "/CN=localhost", "-keyout", "\(suite.directory)/new.key",
                "-out", "\(suite.directory)/new.pem",
            ])
            try change(suite) {
                $0.replace(
                    "  - name: localhost\n  - name: second.example\n",
                    with: "  - name: localhost\n    certificate: new.pem\n    key: new.key\n"
                        + "    contacts: {abuse: [\"mailto:abuse@example.org\"]}\n  - name: third.example\n"
                )
                $0 += "\nsm: {modules: {vcard: false}}\n"
            }
            for name in Self.processes { try suite.process(name).kill(SIGHUP) }
            for name in Self.processes { try await awaitReload(of: name, suite) }

            // The same stream still stands: no link was reset for it.
            #expect(try await client.ask("get", id: "v2", Self.vcard).errorCondition == "service-unavailable")
            let info = try await client.ask("get", to: suite.domain, id: "d", "<query xmlns='\(Self.discoInfo)'/>")
            #expect(String(describing: info).contains("mailto:abuse@example.org"))
            #expect(try await certificateEnd(suite) > expiry)
            let (newcomer, _) = try await TestClient.login(suite.addAccount(named: "newcomer"), to: suite)
            let (neighbour, _) = try await TestClient.login(kept, to: suite)
            for name in Self.processes {
                let warnings = try suite.log(name).split(separator: "\n").filter { $0.contains(" needs a restart: ") }
                #expect(warnings.count == 1 && warnings[0].hasSuffix(" warning \(name): needs a restart: domains"))
            }
            for client in [client, newcomer, neighbour] { await client.breakConnection() }
            suite.stop()
        }

        private static let vcard = "<vCard xmlns='vcard-temp'/>"
        private static let discoInfo = "http://jabber.org/protocol/disco#info"

        private func change(_ suite: RunningSuite, _ body: (inout String) -> Void) throws {
            let path = "\(suite.directory)/jackdaw.yml"
            var text = try String(contentsOfFile: path, encoding: .utf8)
            body(&text)
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }

        private func awaitReload(of name: String, _ suite: RunningSuite) async throws {
            for _ in 0..<400 {
                let metrics = try await suite.http(name, "/metrics").body
                if metrics.contains("jackdaw_configuration_reloads_total{result=\"taken\"} 1\n") { return }
                try await Task.sleep(for: .milliseconds(25))
            }
            throw RunningSuite.Failure(description: "\(name) did not read its configuration: \(try suite.log(name))")
        }

        private func certificateEnd(_ suite: RunningSuite) async throws -> Double {
            let metrics = try await suite.http("c2s-1", "/metrics").body
            let line = try #require(
                metrics.split(separator: "\n").first {
                    $0.hasPrefix("jackdaw_c2s_certificate_not_after_seconds{domain=\"localhost\"} ")
                }
            )
            return try #require(line.split(separator: " ").last.flatMap { Double($0) })
        }
    }
}
