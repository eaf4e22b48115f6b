// SPDX-License-Identifier: Apache-2.0

import Testing
import XML

/// Bytes that nobody should send, and the stream errors that may answer them.
struct HostileInput: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let conditions: Set<String>
    /// What follows the stream header.
    let parts: [[UInt8]]
    /// The last part is repeated until the server ends the stream, up to 10 GB.
    let isEndless: Bool
    /// It takes as many bytes as a stanza may have.
    let isLarge: Bool

    init(
        _ description: String,
        _ conditions: Set<String>,
        bytes: [[UInt8]],
        isEndless: Bool = false,
        isLarge: Bool = false
    ) {
        (testDescription, self.conditions, parts) = (description, conditions, bytes)
        (self.isEndless, self.isLarge) = (isEndless, isLarge)
    }

    init(
        _ description: String,
        _ conditions: Set<String>,
        _ parts: [String],
        isEndless: Bool = false,
        isLarge: Bool = false
    ) {
        self.init(description, conditions, bytes: parts.map { Array($0.utf8) }, isEndless: isEndless, isLarge: isLarge)
    }

    static let all: [HostileInput] =
        notWellFormed + restricted + endless + [
            HostileInput("10,000 nested elements", ["policy-violation"], [String(repeating: "<a>", count: 10_000)]),
            HostileInput(
                "10,000 nested elements with names of their own",
                ["policy-violation"],
                ["<message>" + (0..<10_000).map { "<a\($0)>" }.joined()]
            ),
            HostileInput(
                "20,000 elements",
                ["policy-violation"],
                ["<message>" + String(repeating: "<a/>", count: 20_000)],
                isLarge: true
            ),
            HostileInput(
                "1,000 attributes",
                ["policy-violation"],
                ["<message " + (0..<1_000).map { "a\($0)=''" }.joined(separator: " ") + "/>"]
            ),
            HostileInput(
                "1,000 namespaces",
                ["policy-violation"],
                ["<message " + (0..<1_000).map { "xmlns:a\($0)='urn:x:\($0)'" }.joined(separator: " ") + "/>"]
            ),
        ]

    private static let notWellFormed = [
        HostileInput("tags that do not match", ["not-well-formed"], ["<message><body></message>"]),
        HostileInput("an attribute twice", ["not-well-formed"], ["<message id='1' id='2'/>"]),
        HostileInput(
            "an undeclared prefix",
            ["not-well-formed", "bad-namespace-prefix"],
            ["<message><a:b/></message>"]
        ),
        HostileInput("a NUL", ["not-well-formed"], ["<message><body>\0</body></message>"]),
        HostileInput("a NUL between stanzas", ["not-well-formed"], ["\0"]),
        HostileInput("a NUL by reference", ["not-well-formed"], ["<message><body>&#0;</body></message>"]),
        HostileInput("a surrogate by reference", ["not-well-formed"], ["<message><body>&#xD800;</body></message>"]),
        HostileInput("a control character", ["not-well-formed"], ["<message><body>\u{8}</body></message>"]),
        HostileInput("a bare ampersand", ["not-well-formed"], ["<message><body>a & b</body></message>"]),
        utf8("overlong UTF-8 of a solidus", [0xC0, 0xAF]),
        utf8("overlong UTF-8 of a NUL", [0xC0, 0x80]),
        utf8("overlong UTF-8 of three bytes", [0xE0, 0x80, 0xBC]),
        utf8("a surrogate in UTF-8", [0xED, 0xA0, 0x80]),
        utf8("UTF-8 past the last character", [0xF4, 0x90, 0x80, 0x80]),
        utf8("UTF-8 that is cut", [0xE2, 0x82, 0x20]),
        utf8("a byte that UTF-8 has not", [0xFF]),
    ]

    private static func utf8(_ description: String, _ bytes: [UInt8]) -> HostileInput {
        let text = Array("<message><body>".utf8) + bytes + Array("</body></message>".utf8)
        return HostileInput(description, ["not-well-formed"], bytes: [text])
    }

    private static let restricted = [
        HostileInput(
            "an undefined entity",
            ["restricted-xml", "not-well-formed"],
            ["<message><body>&nbsp;</body></message>"]
        ),
        HostileInput("a comment", ["restricted-xml"], ["<!-- hello -->"]),
        HostileInput("a comment in a stanza", ["restricted-xml"], ["<message><!-- hello --></message>"]),
        HostileInput("a processing instruction", ["restricted-xml"], ["<?php echo ?>"]),
        HostileInput("a processing instruction in a stanza", ["restricted-xml"], ["<message><?a b?></message>"]),
        HostileInput(
            "a document type in the stream",
            ["restricted-xml", "not-well-formed"],
            ["<!DOCTYPE a [<!ENTITY b 'c'>]>"]
        ),
    ]

    private static let endless = [
        HostileInput(
            "a stanza of 10 GB",
            ["policy-violation"],
            ["<message><body>", String(repeating: "x", count: 65_536)],
            isEndless: true,
            isLarge: true
        ),
        HostileInput(
            "a stanza of 10 GB of small elements",
            ["policy-violation"],
            ["<message>", String(repeating: "<a/>", count: 16_384)],
            isEndless: true,
            isLarge: true
        ),
        HostileInput(
            "an attribute without end",
            ["policy-violation"],
            ["<message id='", String(repeating: "y>", count: 8_192)],
            isEndless: true,
            isLarge: true
        ),
        HostileInput(
            "a name without end",
            ["policy-violation"],
            ["<message", String(repeating: "y", count: 16_384)],
            isEndless: true,
            isLarge: true
        ),
        HostileInput(
            "text without end between stanzas",
            ["policy-violation", "bad-format", "invalid-xml", "not-well-formed"],
            [String(repeating: "z", count: 8_192)],
            isEndless: true,
            isLarge: true
        ),
    ]

    /// Prologs with a document type; the entities would grow to a billion, or read a file.
    static let documentTypes = [
        "<?xml version='1.0'?><!DOCTYPE a>",
        "<!DOCTYPE stream:stream SYSTEM 'file:///etc/passwd'>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>",
        "<!DOCTYPE a [<!ENTITY b0 'b'>"
            + (1..<10).map { "<!ENTITY b\($0) '\(String(repeating: "&b\($0 - 1);", count: 10))'>" }.joined() + "]>",
        "<?xml version='1.0'?><!-- hello -->",
    ]
}

extension HostileInput {
    /// Sends the attack and returns the condition of the stream error that answers it. Who `ignoresErrors` goes on until
    /// the connection ends.
    func run(on client: TestClient, bytewise: Bool, ignoresErrors: Bool = false) async throws -> String {
        var budget = 10 << 30
        outer: for (index, part) in parts.enumerated() {
            repeat {
                budget -= part.count
                guard ignoresErrors ? client.isConnected : !client.hasEnded, budget > 0 else { break outer }
                do {
                    if bytewise { try await client.send(bytewise: part) } else { try await client.send(bytes: part) }
                } catch { break outer }
            } while isEndless && index == parts.count - 1
        }
        defer { Task { await client.breakConnection() } }
        return try await client.streamError()
    }

    /// Who attacks.
    enum Target: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case startTLS, directTLS, component, user, authenticatedComponent

        var testDescription: String { rawValue }

        var process: String {
            switch self {
            case .startTLS, .directTLS, .user: "c2s-1"
            case .component, .authenticatedComponent: "router-1"
            }
        }

        /// Whether the limit of a stanza is so low that it may come byte by byte in a test.
        var isLargeBytewise: Bool { self != .user && self != .authenticatedComponent }

        /// A connection whose stream is open.
        func connect(to suite: RunningSuite) async throws -> TestClient {
            switch self {
            case .user:
                let client = try await TestClient.connect(port: suite.clientPort)
                try await client.authenticate(suite.sharedAccount(named: "hostile"))
                try await client.bind(nil)
                return client
            case .authenticatedComponent:
                return try await TestComponent.connect(to: suite, name: "hostile.localhost").client
            case .startTLS, .directTLS, .component:
                let client = try await connectWithoutStream(to: suite)
                let isComponent = self == .component
                try await client.send(
                    "<?xml version='1.0'?><stream:stream "
                        + "xmlns='\(isComponent ? "jabber:component:accept" : "jabber:client")' "
                        + "xmlns:stream='http://etherx.jabber.org/streams' "
                        + "to='\(isComponent ? suite.componentName : suite.domain)' version='1.0'>"
                )
                guard case .streamOpened = try await client.next() else { throw TestClient.Failure("no stream") }
                if !isComponent { _ = try await client.element() }
                return client
            }
        }

        func connectWithoutStream(to suite: RunningSuite) async throws -> TestClient {
            switch self {
            case .directTLS: try await TestClient.connect(port: suite.directTLSPort, directTLS: true)
            case .component:
                try await TestClient.connect(port: suite.componentPort, contentNamespace: "jabber:component:accept")
            case .startTLS, .user, .authenticatedComponent: try await TestClient.connect(port: suite.clientPort)
            }
        }
    }
}
