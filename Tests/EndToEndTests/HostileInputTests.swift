// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

/// What a stranger may send to a port, what it costs us, and what it is told.
///
/// Every attack goes to every port that reads foreign XML, in one piece and byte by byte. The verdict is the stream error
/// (RFC 6120 section 4.9.3) and the growth of the process, measured as the peak of its resident memory.
@Suite(.serialized) struct HostileInputTests {
    struct Attack: Sendable, CustomTestStringConvertible {
        let name: String
        let condition: Set<String>
        /// What follows the stream header; the last part is repeated until the server ends the stream.
        let parts: [String]
        var repeatsLast = false
        var testDescription: String { name }

        init(_ name: String, _ condition: Set<String>, _ parts: [String], repeatsLast: Bool = false) {
            (self.name, self.condition, self.parts, self.repeatsLast) = (name, condition, parts, repeatsLast)
        }
    }

    static let attacks = [
        Attack("tags that do not match", ["not-well-formed"], ["<message><body></message>"]),
        Attack("an attribute twice", ["not-well-formed"], ["<message id='1' id='2'/>"]),
        Attack("an undeclared prefix", ["not-well-formed", "bad-namespace-prefix"], ["<message><a:b/></message>"]),
        Attack("a NUL", ["not-well-formed"], ["<message><body>\0</body></message>"]),
        Attack("a bare ampersand", ["not-well-formed"], ["<message><body>a & b</body></message>"]),
        Attack(
            "an undefined entity",
            ["restricted-xml", "not-well-formed"],
            ["<message><body>&nbsp;</body></message>"]
        ),
        Attack("a comment", ["restricted-xml"], ["<!-- hello -->"]),
        Attack("a comment in a stanza", ["restricted-xml"], ["<message><!-- hello --></message>"]),
        Attack("a processing instruction", ["restricted-xml"], ["<?php echo ?>"]),
        Attack("10,000 nested elements", ["policy-violation"], ["<message>", "<a>"], repeatsLast: true),
        Attack(
            "a stanza of 10 GB",
            ["policy-violation"],
            ["<message><body>", String(repeating: "x", count: 65_536)],
            repeatsLast: true
        ),
        Attack(
            "an attribute without end",
            ["policy-violation"],
            ["<message id='", String(repeating: "y>", count: 8_192)],
            repeatsLast: true
        ),
        Attack(
            "a thousand attributes",
            ["policy-violation"],
            ["<message " + (0..<1_000).map { "a\($0)=''" }.joined(separator: " ") + "/>"]
        ),
        Attack(
            "text without end between stanzas",
            ["policy-violation", "bad-format", "invalid-xml", "not-well-formed"],
            [String(repeating: "z", count: 8_192)],
            repeatsLast: true
        ),
    ]

    enum Port: String, CaseIterable, CustomTestStringConvertible {
        case startTLS, directTLS, component
        var testDescription: String { rawValue }
    }

    @Test(arguments: attacks, Port.allCases)
    func attackGetsItsErrorAndBoundedMemory(_ attack: Attack, _ port: Port) async throws {
        let suite = try await RunningSuite.shared()
        for isBytewise in [false, true] {
            let process = try port == .component ? suite.process("router-1") : suite.process("c2s-1")
            let before = try process.startMemoryMeasurement()
            let client = try await connect(suite, port)
            let condition = try await run(attack, on: client, bytewise: isBytewise)
            #expect(attack.condition.contains(condition), "\(attack.name), bytewise: \(isBytewise)")
            #expect(try process.peakMemory() - before < 16 << 20)
        }
    }

    private func connect(_ suite: RunningSuite, _ port: Port) async throws -> TestClient {
        let client: TestClient
        var namespace = "jabber:client"
        var domain = suite.domain
        switch port {
        case .startTLS: client = try await TestClient.connect(port: suite.clientPort)
        case .directTLS: client = try await TestClient.connect(port: suite.directTLSPort, directTLS: true)
        case .component:
            client = try await TestClient.connect(
                port: suite.componentPort,
                contentNamespace: "jabber:component:accept"
            )
            (namespace, domain) = ("jabber:component:accept", suite.componentName)
        }
        try await client.send(
            "<?xml version='1.0'?><stream:stream xmlns='\(namespace)' "
                + "xmlns:stream='http://etherx.jabber.org/streams' to='\(domain)' version='1.0'>"
        )
        guard case .streamOpened = try await client.next() else { throw TestClient.Failure("no stream") }
        if port != .component { _ = try await client.element() }
        return client
    }

    /// Sends the attack and returns the condition of the stream error that answers it.
    private func run(_ attack: Attack, on client: TestClient, bytewise: Bool) async throws -> String {
        let bytes = attack.parts.map { Array($0.utf8) }
        var budget = bytewise ? 200_000 : 64 << 20
        outer: for (index, part) in bytes.enumerated() {
            let repeats = attack.repeatsLast && index == bytes.count - 1
            repeat {
                for piece in bytewise ? part.map({ [$0] }) : [part] {
                    budget -= piece.count
                    guard client.isConnected, budget > 0 else { break outer }
                    do { try await client.send(bytes: piece) } catch { break outer }
                }
            } while repeats
        }
        while true {
            switch try await client.next() {
            case .element(let element) where element.name == "error":
                await client.breakConnection()
                return element.childElements.first?.name ?? "nothing"
            case .disconnected, .streamClosed: return "no stream error"
            default: continue
            }
        }
    }
}
