// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Router

/// Foreign bytes on the component port: each attack gets its stream error and costs bounded memory.
@Suite struct HostileInputTests {
    private static let nesting = String(repeating: "<a>", count: 10_000)
    /// A name instead of the bytes, so that a log of the tests stays readable.
    struct Attack: CustomTestStringConvertible {
        let bytes: String
        let condition: String

        init(_ bytes: String, _ condition: String) {
            self.bytes = bytes
            self.condition = condition
        }

        var testDescription: String { "\(self.condition): \(self.bytes.debugDescription.prefix(90))" }
    }

    private static let attacks: [Attack] = [
        Attack("<message from='chess.localhost' to='chess.localhost'>\(nesting)", "policy-violation"),
        Attack("<message from='chess.localhost' to='chess.localhost'></presence>", "not-well-formed"),
        Attack("<message from='chess.localhost' to='chess.localhost'><x:y/></message>", "bad-namespace-prefix"),
        Attack("<message from='chess.localhost' from='chess.localhost' to='chess.localhost'/>", "not-well-formed"),
        Attack("<message from='chess.localhost' to='chess.localhost'>&nbsp;</message>", "restricted-xml"),
        Attack("<message from='chess.localhost' to='chess.localhost'><!-- x --></message>", "restricted-xml"),
        Attack("<message from='chess.localhost' to='chess.localhost'><?x y?></message>", "restricted-xml"),
        Attack("<message from='chess.localhost' to='chess.localhost'>\u{0}</message>", "not-well-formed"),
        Attack("<message from='chess.localhost' to='chess.localhost'>&#0;</message>", "not-well-formed"),
        Attack("<!-- x -->", "restricted-xml"), Attack("<?x y?>", "restricted-xml"), Attack("text", "bad-format"),
        Attack("<<", "not-well-formed"), Attack("</x>", "not-well-formed"),
    ]

    @Test(arguments: attacks)
    func `a bad stanza ends the stream with its error, in one piece and byte by byte`(
        attack: Attack
    ) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            chess.send(attack.bytes)
            let answer = try await chess.readToEnd()
            #expect(answer.contains("<stream:error><\(attack.condition) "), "\(answer.prefix(200))")
            let again = try await router.component("chess.localhost")
            for byte in attack.bytes.utf8.prefix(8_000) { again.send(ByteBuffer(bytes: [byte])) }
            #expect(try await again.readToEnd().contains("<stream:error><\(attack.condition) "))
        }
    }

    @Test(
        arguments: [
            [0xC0, 0xAF], [0xC1, 0x81], [0xE0, 0x80, 0xAF], [0xF0, 0x80, 0x80, 0xAF], [0xED, 0xA0, 0x80], [0xFF],
            [0x80],
            [0xF4, 0x90, 0x80, 0x80],
        ] as [[UInt8]]
    )
    func `bytes that are no UTF-8 end the stream`(bytes: [UInt8]) async throws {
        try await TestRouter.run { router in
            let chess = try await router.component("chess.localhost")
            var buffer = ByteBuffer(string: "<message from='chess.localhost' to='chess.localhost'><body>")
            buffer.writeBytes(bytes)
            buffer.writeString("</body></message>")
            chess.send(buffer)
            #expect(try await chess.readToEnd().contains("<stream:error><not-well-formed "))
        }
    }

    @Test(arguments: [
        "<!DOCTYPE stream:stream [<!ENTITY a 'b'>]>", "<!DOCTYPE x SYSTEM 'http://127.0.0.1/x.dtd'>", "<!-- x -->",
    ])
    func `a document type before the stream is refused`(prologue: String) async throws {
        try await TestRouter.run { router in
            let client = try await router.connect()
            client.send(prologue + RawComponent.header("chess.localhost"))
            let answer = try await client.readToEnd()
            #expect(answer.contains("<stream:stream "))
            #expect(answer.contains("<stream:error><"))
            #expect(answer.contains("restricted-xml") || answer.contains("not-well-formed"))
        }
    }

    @Test func `a header without end is refused at its limit`() async throws {
        try await self.flood(
            start: "<stream:stream xmlns='jabber:component:accept' a='",
            limit: 64 << 10,
            isBound: false
        )
    }

    @Test func `a stanza without end is refused at its limit`() async throws {
        try await self.flood(
            start: "<message from='chess.localhost' to='chess.localhost'><body>",
            limit: 1 << 20,
            isBound: true
        )
    }

    /// Sends without end until the router hangs up; it must do so long before `limit` is far behind.
    private func flood(start: String, limit: Int, isBound: Bool) async throws {
        try await TestRouter.run { router in
            let client = try await isBound ? router.component("chess.localhost") : router.connect()
            client.send(start)
            let piece = ByteBuffer(repeating: UInt8(ascii: "x"), count: 16_384)
            async let answer = client.readToEnd()
            var sent = 0
            while sent < 256 << 20 {
                do { try await client.sendAndWait(piece) } catch { break }
                sent += piece.readableBytes
            }
            #expect(try await answer.contains("<stream:error><policy-violation "))
            #expect(try await router.inspect { $0.links.isEmpty })
        }
    }

    @Test func `the router is as good as new after every attack`() async throws {
        try await TestRouter.run { router in
            let words = try await router.component("words.localhost")
            for attack in Self.attacks {
                let chess = try await router.component("chess.localhost")
                chess.send(attack.bytes)
                _ = try await chess.readToEnd()
            }
            words.send("<message from='words.localhost' to='words.localhost' id='1'/>")
            _ = try await words.read(through: "id='1'/>")
        }
    }
}
