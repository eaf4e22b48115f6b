// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import Testing

@testable import Router

/// Who is slowed, who is bounced and who is reset when somebody does not read (design, section 4).
@Suite(.serialized) struct BackPressureTests {
    private static func stanza(_ number: Int, to: String, from: String, bytes: Int) -> ByteBuffer {
        var buffer = ByteBuffer(string: "<message from='\(from)' to='\(to)' id='n\(number)'><body>")
        buffer.writeRepeatingByte(UInt8(ascii: "x"), count: bytes)
        buffer.writeString("</body></message>")
        return buffer
    }

    @Test func `a foreign sender waits for a component that does not read, and nothing is lost`() async throws {
        let configuration = TestRouter.limits { $0.queueHighWater = 256 << 10 }
        try await TestRouter.run(configuration) { router in
            let chess = try await router.component("chess.localhost")
            let words = try await router.component("words.localhost")
            try await words.setReading(false)
            let count = 1_500
            let sending = Task {
                for number in 0..<count {
                    let stanza = Self.stanza(number, to: "words.localhost", from: "chess.localhost", bytes: 8_192)
                    try await chess.sendAndWait(stanza)
                }
            }
            // The sender is stopped in the end: wait for that, then look at what waits.
            try await Self.wait(router) { router in router.links.values.contains { $0.isSlowed } }
            let queued = try await router.inspect { $0.queuedBytes }
            #expect(queued < (256 << 10) + (512 << 10), "high-water mark and one burst: \(queued)")
            // Others are not held up by it.
            let rooms = try await router.component("rooms.localhost")
            rooms.send("<message from='rooms.localhost' to='rooms.localhost' id='1'/>")
            _ = try await rooms.read(through: "id='1'/>")
            try await words.setReading(true)
            for number in 0..<count {
                let seen = try await words.read(through: "</message>")
                #expect(seen.contains("id='n\(number)'"))
                if !seen.contains("id='n\(number)'") { break }
            }
            try await sending.value
        }
    }

    @Test func `what a slowed component sent before it closed its side arrives`() async throws {
        let configuration = TestRouter.limits { $0.queueHighWater = 256 << 10 }
        try await TestRouter.run(configuration) { router in
            let chess = try await router.component("chess.localhost")
            let words = try await router.component("words.localhost")
            try await words.setReading(false)
            // Until it is slowed, and then as much as its socket takes.
            var count = 0
            while try await !router.inspect({ router in router.links.values.contains { $0.isSlowed } }) {
                try await chess.sendAndWait(
                    Self.stanza(count, to: "words.localhost", from: "chess.localhost", bytes: 8_192)
                )
                count += 1
            }
            for _ in 0..<20 {
                try await chess.sendAndWait(
                    Self.stanza(count, to: "words.localhost", from: "chess.localhost", bytes: 1_024)
                )
                count += 1
            }
            try await chess.closeOutput()
            try await words.setReading(true)
            for number in 0..<count {
                let seen = try await words.read(through: "</message>")
                try #require(seen.contains("id='n\(number)'"))
            }
            // Then its stream ends.
            #expect(try await chess.readToEnd().hasSuffix("</stream:stream>"))
        }
    }

    @Test func `a sender that does not read its own errors is not read either`() async throws {
        let configuration = TestRouter.limits { $0.queueHighWater = 64 << 10 }
        try await TestRouter.run(configuration) { router in
            let chess = try await router.component("chess.localhost")
            try await chess.setReading(false)
            let sending = Task {
                var stanzas = ByteBuffer()
                for number in 0..<200 {
                    stanzas.writeImmutableBuffer(
                        Self.stanza(number, to: "nowhere.example", from: "chess.localhost", bytes: 1)
                    )
                }
                while true { try await chess.sendAndWait(stanzas) }
            }
            try await Self.wait(router) { router in router.links.values.contains { $0.isSlowed } }
            #expect(try await router.inspect { $0.queuedBytes } < 2 << 20)
            try await chess.close()
            _ = await sending.result
            try await Self.wait(router) { $0.links.isEmpty }
        }
    }

    @Test func `an instance is read always, and its stanzas bounce off a full queue`() async throws {
        let configuration = TestRouter.limits {
            $0.queueBytes = 1 << 20
            $0.queueHighWater = 64 << 10
        }
        try await TestRouter.run(configuration) { router in
            let sm = try await router.instance(
                "sm-1.jackdaw.internal",
                secret: "sm",
                declaring: "<j:name>localhost</j:name>"
            )
            let words = try await router.component("words.localhost")
            try await words.setReading(false)
            let sending = Task {
                for number in 0..<2_000 {
                    let stanza = Self.stanza(number, to: "words.localhost", from: "a@localhost", bytes: 8_192)
                    try await sm.sendAndWait(stanza)
                }
            }
            let bounced = try await sm.read(through: "</message>")
            #expect(bounced.contains("type='wait'"))
            #expect(bounced.contains("<resource-constraint "))
            #expect(bounced.contains("from='words.localhost'"))
            #expect(bounced.contains("to='a@localhost'"))
            try await sending.value
            #expect(try await router.inspect { $0.queuedBytes } <= 2 << 20)
            try await words.close()
        }
    }

    @Test func `an instance that does not read is reset, and its peers learn that it is gone`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.queueBytes = 1 << 20 }) { router in
            let sm = try await router.instance(
                "sm-1.jackdaw.internal",
                secret: "sm",
                declaring: "<j:name>localhost</j:name>"
            )
            let c2s = try await router.instance("c2s-1.jackdaw.internal", secret: "c2s", epoch: "f")
            _ = try await sm.read(through: "<j:instance name='c2s-1.jackdaw.internal'")
            try await c2s.setReading(false)
            let body = String(repeating: "x", count: 16_384)
            let sending = Task {
                for _ in 0..<2_000 {
                    let wrapper =
                        "<j:route from='sm-1.jackdaw.internal' to='c2s-1.jackdaw.internal'><a>\(body)</a></j:route>"
                    try await sm.sendAndWait(ByteBuffer(string: wrapper))
                }
            }
            _ = try await sm.read(
                through: "<j:instance name='c2s-1.jackdaw.internal' epoch='f' kind='internal' state='unavailable'>"
            )
            _ = try await sm.read(through: " error='unreachable'>")
            sending.cancel()
            _ = await sending.result
        }
    }

    @Test func `an edge waits for an instance that does not read, and nothing is lost`() async throws {
        try await TestRouter.run(TestRouter.limits { $0.queueBytes = 1 << 20 }) { router in
            let sm = try await router.instance(
                "sm-1.jackdaw.internal",
                secret: "sm",
                declaring: "<j:name>localhost</j:name>"
            )
            let c2s = try await router.instance("c2s-1.jackdaw.internal", secret: "c2s")
            _ = try await sm.read(through: "<j:instance name='c2s-1.jackdaw.internal'")
            try await sm.setReading(false)
            let body = String(repeating: "x", count: 16_384)
            let count = 1_000
            let sending = Task {
                for number in 0..<count {
                    let wrapper = "<j:route from='c2s-1.jackdaw.internal' to='sm-1.jackdaw.internal' n='\(number)'>"
                    try await c2s.sendAndWait(ByteBuffer(string: "\(wrapper)<a>\(body)</a></j:route>"))
                }
            }
            try await Self.wait(router) { router in router.links.values.contains { $0.isSlowed } }
            // Towards the edge everything flows.
            sm.send("<j:route from='sm-1.jackdaw.internal' to='c2s-1.jackdaw.internal'><b/></j:route>")
            _ = try await c2s.read(through: "<b/></j:route>")
            try await sm.setReading(true)
            for number in 0..<count {
                let seen = try await sm.read(through: "</j:route>")
                try #require(seen.contains("n='\(number)'>"))
            }
            try await sending.value
        }
    }

    /// Asks the router at each turn of its loop until it says yes.
    private static func wait(
        _ router: TestRouter,
        _ condition: @escaping @Sendable (StanzaRouter) -> Bool
    ) async throws {
        let deadline = NIODeadline.now() + .seconds(60)
        while try await !router.inspect(condition) {
            try #require(NIODeadline.now() < deadline, "it never happened")
        }
    }
}
