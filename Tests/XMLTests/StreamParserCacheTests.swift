// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XMLTestSupport

@testable import XML

@Suite struct StreamParserCacheTests {
    @Test("Streams with the same declarations share a parser, and read what they would read alone")
    func sharing() throws {
        let cache = StreamParserCache()
        let shared = StreamTranscript(parsers: cache)
        let readers = (0..<3).map { _ in shared.reader() }
        var lines: [String] = []
        for text in [clientHeader, "<message><body>1</body></message>", "<a xmlns:p='urn:p'><p:b/></a>"] {
            for reader in readers {
                reader.receive(ByteBuffer(string: text))
                while let event = try reader.next() { lines.append(StreamTranscript.describe(event)) }
                #expect(!reader.hasJudge)
                #expect(cache.count == 1)
            }
        }
        let alone = StreamTranscript().lines(
            clientHeader + "<message><body>1</body></message><a xmlns:p='urn:p'><p:b/></a>"
        )
        #expect(lines == alone.flatMap { [$0, $0, $0] })
    }

    @Test("A prefix of one root means nothing on a stream with another")
    func otherRoots() throws {
        let cache = StreamParserCache()
        let shared = StreamTranscript(parsers: cache)
        let with = clientHeader.dropLast() + " xmlns:p='urn:p'>"
        #expect(shared.lines(with + "<a><p:b/></a>").last == "{jabber:client}a |<b xmlns='urn:p'/>| {urn:p}b")
        #expect(shared.lines(clientHeader + "<a><p:b/></a>").last == "! badNamespacePrefix")
        #expect(shared.lines(with + "<a><p:b/></a>").last == "{jabber:client}a |<b xmlns='urn:p'/>| {urn:p}b")
    }

    @Test("A parser in the middle of a stanza is not shared, and one that failed is not kept")
    func unfinished() throws {
        let cache = StreamParserCache()
        let shared = StreamTranscript(parsers: cache)
        let first = shared.reader()
        first.receive(ByteBuffer(string: clientHeader + "<a><b>"))
        while try first.next() != nil {}
        #expect(cache.count == 0)
        #expect(shared.lines(clientHeader + "<c/>").last == "{jabber:client}c ||")
        #expect(cache.count == 1)
        #expect(shared.lines(clientHeader + "<c></d>").last == "! notWellFormed")
        first.receive(ByteBuffer(string: "</b></a>"))
        #expect(try first.next() != nil)
    }

    @Test("At most so many are kept, and none that has seen much")
    func bounds() throws {
        let cache = StreamParserCache(capacity: 2)
        let shared = StreamTranscript(parsers: cache)
        for number in 0..<5 {
            _ = shared.lines(clientHeader.dropLast() + " xmlns:p='urn:\(number)'><a/>")
        }
        #expect(cache.count == 2)
        let many = String(repeating: "<a b='1'/>", count: 10_000)
        let fresh = StreamParserCache()
        #expect(StreamTranscript(parsers: fresh).lines(clientHeader + many).count == 10_001)
        #expect(fresh.count <= 1)
        let large = StreamTranscript(limits: StreamReader.Limits(stanzaBytes: 200_000), parsers: fresh)
        let text = String(repeating: "a", count: 100_000)
        #expect(large.lines(clientHeader.dropLast() + " a='1'><a>\(text)</a>").count == 2)
        #expect(fresh.count <= 1)
    }

    @Test("With a limit on attributes that differs, each stream has its own")
    func limits() {
        let cache = StreamParserCache()
        let wide = StreamTranscript(parsers: cache)
        let narrow = StreamTranscript(limits: StreamReader.Limits(attributes: 4), parsers: cache)
        let stanza = "<a a='1' b='2' c='3' d='4' e='5'/>"
        #expect(wide.lines(clientHeader + stanza).count == 2)
        #expect(narrow.lines(clientHeader + stanza).last == "! tooManyAttributes")
        #expect(wide.lines(clientHeader + stanza).count == 2)
    }
}
