// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

/// What strangers, users and components may send to a port, what it costs us, and what they are told.
///
/// Every attack goes to every port that reads foreign XML, before the login and after it, in one piece and byte by byte.
/// The verdict is the stream error (RFC 6120 section 4.9.3) and the growth of the process, measured as the peak of its
/// resident memory.
@Suite(.serialized) struct HostileInputTests {
    static let bound = 16 << 20

    @Test(arguments: HostileInput.all, HostileInput.Target.allCases)
    func attackGetsItsErrorAndBoundedMemory(_ attack: HostileInput, _ target: HostileInput.Target) async throws {
        let suite = try await RunningSuite.shared()
        for isBytewise in target.isLargeBytewise || !attack.isLarge ? [false, true] : [false] {
            let client = try await target.connect(to: suite)
            let process = try suite.process(target.process)
            let before = try process.startMemoryMeasurement()
            let condition = try await attack.run(on: client, bytewise: isBytewise)
            let growth = try process.peakMemory() - before
            #expect(attack.conditions.contains(condition), "bytewise: \(isBytewise)")
            #expect(growth < Self.bound, "\(growth >> 10) KiB, bytewise: \(isBytewise)")
        }
    }

    /// Who does not listen: the generator has 10 GB and stops when the connection ends.
    @Test(arguments: HostileInput.Target.allCases)
    func aStanzaWithoutEndEndsTheConnection(_ target: HostileInput.Target) async throws {
        let suite = try await RunningSuite.shared()
        let attack = HostileInput(
            "10 GB",
            ["policy-violation"],
            ["<message><body>", String(repeating: "x", count: 65_536)],
            isEndless: true
        )
        let client = try await target.connect(to: suite)
        let process = try suite.process(target.process)
        let before = try process.startMemoryMeasurement()
        #expect(try await attack.run(on: client, bytewise: false, ignoresErrors: true) == "policy-violation")
        #expect(!client.isConnected)
        #expect(try process.peakMemory() - before < Self.bound)
    }

    /// What comes before the stream's root: the document type of a stream is refused, wherever it is cut.
    @Test(arguments: [HostileInput.Target.startTLS, .directTLS, .component])
    func aDocumentTypeIsRefused(_ target: HostileInput.Target) async throws {
        let suite = try await RunningSuite.shared()
        for (prolog, isBytewise) in HostileInput.documentTypes.flatMap({ [($0, false), ($0, true)] }) {
            let process = try suite.process(target.process)
            let client = try await target.connectWithoutStream(to: suite)
            let before = try process.startMemoryMeasurement()
            let attack = HostileInput("DOCTYPE", ["restricted-xml"], [prolog])
            let condition = try await attack.run(on: client, bytewise: isBytewise)
            #expect(condition == "restricted-xml", "\(prolog.prefix(40)), bytewise: \(isBytewise)")
            #expect(try process.peakMemory() - before < Self.bound)
        }
    }

    /// All cuts of one bad stanza in two pieces.
    @Test func malformedXMLIsRefusedWhereverItIsCut() async throws {
        let suite = try await RunningSuite.shared()
        let text = Array("<message to='a'><body xml:lang='en'>\u{20AC}&amp;</body></mess>".utf8)
        for cut in 1..<text.count {
            let client = try await HostileInput.Target.component.connect(to: suite)
            try await client.send(bytes: Array(text[..<cut]))
            try await client.send(bytes: Array(text[cut...]))
            #expect(try await client.streamError() == "not-well-formed", "cut at \(cut)")
            await client.breakConnection()
        }
    }
}
