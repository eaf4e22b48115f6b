// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import XML

extension OwnSuites {
    /// Several routers, as `docs/operations.md` describes them.
    @Suite(.serialized) struct SeveralRoutersTests {
        @Test func componentsOfEitherRouterReachEverybody() async throws {
            let suite = try await RunningSuite.start(routers: 2)
            defer { suite.stop() }
            try await suite.awaitLinks(2)
            let (client, jid) = try await TestClient.login(suite.addAccount(named: "guest"), to: suite)
            let first = try await TestComponent.connect(to: suite, name: suite.componentName, router: 1)
            let second = try await TestComponent.connect(to: suite, name: suite.otherComponentName, router: 2)
            for component in [first, second] {
                try await ask(client, for: component, from: jid)
                let name = component.name
                try await component.client.send("<message from='\(name)' to='\(jid)' id='\(name)'/>")
                let message = try await client.first { $0.name == "message" }
                #expect(message["id"] == component.name && message["from"] == component.name)
            }
            try await exchange(first, second)
            // Each name is bound once, whatever the router.
            let again = try await TestComponent.handshake(with: suite, name: first.name, router: 2)
            #expect(again.answer.childElements.first?.name == "conflict")
            // The loss of one router is nothing to those of the other.
            let router = try suite.process("router-2")
            router.kill(9)
            try await router.awaitEnd()
            try await ask(client, for: first, from: jid)
            let bounce = try await client.ask("get", to: second.name, id: "gone", "<ping xmlns='urn:xmpp:ping'/>")
            #expect(["service-unavailable", "remote-server-not-found"].contains(bounce.errorCondition))
            let moved = try await TestComponent.connect(to: suite, name: second.name, router: 1)
            try await ask(client, for: moved, from: jid)
            try suite.expectSteadyChannels()
            let listed = try await suite.controlRows(["component", "list"])
            #expect(listed.contains { $0["name"] == first.name && $0["router"] == "router-1" })
            for other in [client, first.client, second.client, moved.client] { await other.breakConnection() }
        }

        /// An IQ to the component, and its answer.
        private func ask(_ client: TestClient, for component: TestComponent, from jid: String) async throws {
            let ping = "<ping xmlns='urn:xmpp:ping'/>"
            try await client.send("<iq type='get' to='\(component.name)' id='to-\(component.name)'>\(ping)</iq>")
            let request = try await component.client.first { $0.name == "iq" && $0["from"] == jid }
            try await component.client.send(
                "<iq type='result' from='\(component.name)' to='\(jid)' id='\(request["id"] ?? "")'/>"
            )
            #expect(try await client.first { $0.name == "iq" && $0["from"] == component.name }["type"] == "result")
        }

        private func exchange(_ one: TestComponent, _ other: TestComponent) async throws {
            for (from, to) in [(one, other), (other, one)] {
                // Routers tell each other of their components a moment after these were bound.
                var received: Element?
                for _ in 0..<200 where received == nil {
                    try await from.client.send("<message from='\(from.name)' to='\(to.name)' id='hop'/>")
                    try await from.client.send(
                        "<iq type='get' from='\(from.name)' to='localhost' id='after'><ping xmlns='urn:xmpp:ping'/></iq>"
                    )
                    let answer = try await from.client.element()
                    if answer["type"] == "error" {
                        _ = try await from.client.first { $0["id"] == "after" }
                    } else {
                        received = try await to.client.first { $0["id"] == "hop" }
                    }
                }
                #expect(received?["from"] == from.name)
            }
        }

        /// What `scripts/supervisor scale router` does.
        @Test func aRouterComesAndGoesUnderLiveClients() async throws {
            let suite = try await RunningSuite.start()
            defer { suite.stop() }
            let (romeo, _) = try await TestClient.login(suite.addAccount(named: "romeo"), to: suite)
            let (juliet, jid) = try await TestClient.login(suite.addAccount(named: "juliet"), to: suite)
            try await suite.scaleRouters(to: 2)
            try suite.launch("router-2")
            try await suite.awaitReady("router-2")
            try suite.reload(["router-1", "sm-1", "c2s-1"])
            try await suite.awaitLinks(2)
            let first = try suite.process("router-1")
            first.kill(9)
            try await first.awaitEnd()
            try await chat(romeo, juliet, jid, "over the second")
            #expect(try await suite.controlRows(["status"]).contains { $0["instance"] == "router-2" })
            try suite.launch("router-1")
            try await suite.awaitLinks(2)

            let second = try suite.process("router-2")
            second.kill(SIGTERM)
            try await second.awaitEnd()
            try await suite.scaleRouters(to: 1)
            try suite.reload(["router-1", "sm-1", "c2s-1"])
            try await chat(romeo, juliet, jid, "over the first")
            try suite.expectSteadyChannels()
            for client in [romeo, juliet] { await client.breakConnection() }
        }

        private func chat(_ from: TestClient, _ to: TestClient, _ jid: String, _ id: String) async throws {
            try await from.send("<message to='\(jid)' type='chat' id='\(id)'><body>x</body></message>")
            #expect(try await to.first { $0.name == "message" }["id"] == id)
        }

        /// A C2S that has no router of its own host, and one that is shown a certificate for somebody else.
        @Test func aC2SOfAnotherHostLinksWithTLS() async throws {
            let suite = try await RunningSuite.start()
            defer { suite.stop() }
            let (port, clients) = try (FreePort.next(), FreePort.next())
            try suite.makeCertificate("router", for: "IP:127.0.0.1")
            try suite.writeConfiguration {
                $0.replace(
                    "\nrouter:\n",
                    with: "\nrouter:\n  tls_listen: 127.0.0.1:\(port)\n  tls_certificate: certificates/router.pem\n"
                        + "  tls_key: certificates/router.key\n"
                )
            }
            for (file, name) in [("remote.yml", "~"), ("wrong.yml", "router.example.org")] {
                try suite.writeConfiguration(file) {
                    $0.replace("\n  router: 1\n", with: "\n  router: 0\n")
                    $0.replace(
                        "\nrouter:\n",
                        with: "\nrouter:\n  remote:\n    - address: 127.0.0.1:\(port)\n"
                            + "      certificate: certificates/router.pem\n      name: \(name)\n"
                    )
                    $0.replace("127.0.0.1:\(suite.clientPort)\n", with: "127.0.0.1:\(clients)\n")
                    $0.replace("    - address: 127.0.0.1:\(suite.directTLSPort)\n      tls: direct\n", with: "")
                }
            }
            let router = try suite.process("router-1")
            router.kill(SIGTERM)
            try await router.awaitEnd()
            try suite.launch("router-1")
            try suite.launch("c2s-2", configuration: "remote.yml")
            try await suite.awaitReady("c2s-2")
            let (here, _) = try await TestClient.login(suite.addAccount(named: "here"), to: suite)
            let (there, jid) = try await TestClient.login(suite.addAccount(named: "there"), to: suite, port: clients)
            try await chat(here, there, jid, "to the other host")
            let far = try suite.process("c2s-2")
            far.kill(9)
            try await far.awaitEnd()
            try suite.launch("c2s-2", configuration: "wrong.yml")
            try await suite.awaitLog("c2s-2", "TLS handshake failed")
            #expect(try await suite.http("c2s-2", "/ready").status == 503)
            for client in [here, there] { await client.breakConnection() }
        }
    }
}

extension RunningSuite {
    /// What `scripts/supervisor` leaves for all processes.
    func scaleRouters(to number: Int) async throws {
        let directory = "\(directory)/supervisor"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try "\(number)\n".write(toFile: "\(directory)/scale-router", atomically: true, encoding: .utf8)
    }

    func reload(_ names: [String]) throws {
        for name in names { try process(name).kill(SIGHUP) }
    }

    /// Waits until a process has written something.
    func awaitLog(_ name: String, _ text: String) async throws {
        for _ in 0..<1_200 {
            if try log(name).contains(text) { return }
            try await Task.sleep(for: .milliseconds(25))
        }
        throw Failure(description: "\(name) did not write '\(text)': \(try log(name).suffix(2_000))")
    }
}
