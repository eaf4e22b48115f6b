// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XMLTestSupport

@testable import XML

@Suite struct StreamLimitTests {
    private static var small: StreamTranscript {
        StreamTranscript(limits: StreamReader.Limits(stanzaBytes: 200, tagBytes: 150, depth: 4, attributes: 3))
    }

    @Test(
        "A stanza may have as many bytes as the limit says, and not one more",
        arguments: [
            (199, true), (200, true), (201, false), (400, false),
        ]
    )
    func stanzaBytes(count: Int, isAccepted: Bool) {
        for text in ["a", "&amp;", "ä", "<b/>"] {
            let room = count - "<a></a>".utf8.count
            let filler = String(repeating: text, count: room / text.utf8.count)
            let rest = String(repeating: "-", count: room - filler.utf8.count)
            let lines = Self.small.verified(header + "<presence/>" + "<a>\(rest)\(filler)</a>")
            #expect((lines.last != "! stanzaTooLarge") == isAccepted)
            #expect(lines.count == 3)
        }
    }

    @Test(
        "A tag may have as many bytes as the limit says, and not one more",
        arguments: [
            (149, true), (150, true), (151, false), (160, false),
        ]
    )
    func tagBytes(count: Int, isAccepted: Bool) {
        let value = String(repeating: ">", count: count - "<a b=''/>".utf8.count)
        let lines = Self.small.verified(header + "<a b='\(value)'/>")
        #expect((lines.last != "! stanzaTooLarge") == isAccepted)
        let name = String(repeating: "n", count: count - "<a/>".utf8.count)
        #expect((Self.small.verified(header + "<a\(name)/>").last != "! stanzaTooLarge") == isAccepted)
    }

    @Test("A header, a declaration and a reference may not be longer than a tag")
    func otherTokens() {
        let long = String(repeating: "a", count: 200)
        #expect(Self.small.verified("<stream a='\(long)'>") == ["! stanzaTooLarge"])
        #expect(Self.small.verified("<?xml version='\(long)'?>") == ["! stanzaTooLarge"])
        #expect(Self.small.verified(header + "<a>&\(long);</a>").last == "! stanzaTooLarge")
        #expect(
            Self.small.verified(header + "<a>&#\(String(repeating: "0", count: 140))65;</a>").last != "! stanzaTooLarge"
        )
    }

    @Test("A stanza may have as many levels as the limit says", arguments: [(4, true), (5, false), (20, false)])
    func depth(levels: Int, isAccepted: Bool) {
        let start = String(repeating: "<a>", count: levels)
        let end = String(repeating: "</a>", count: levels)
        #expect((Self.small.verified(header + start + end).last != "! tooDeep") == isAccepted)
        let empty = String(repeating: "<a>", count: levels - 1) + "<a/>" + String(repeating: "</a>", count: levels - 1)
        #expect((Self.small.verified(header + empty).last != "! tooDeep") == isAccepted)
    }

    @Test(
        "An element may have as many attributes as the limit says, declarations among them",
        arguments: [
            ("<a a='1' b='2' c='3'/>", true), ("<a a='1' b='2' c='3' d='4'/>", false),
            ("<a a='1' b='2' xmlns:c='3'/>", true), ("<a a='1' b='2' xmlns='urn:a' xmlns:c='3'/>", false),
            ("<a><b a='1' b='2' c='3' d='4'/></a>", false), ("<a a='1' b='2'><b a='1' b='2' c='3'/></a>", true),
        ]
    )
    func attributes(stanza: String, isAccepted: Bool) {
        #expect((Self.small.verified(header + stanza).last != "! tooManyAttributes") == isAccepted)
    }

    @Test(
        "A stanza may have as many elements and attributes as the limit says, declarations among them",
        arguments: [
            ("<a><b/><c/><d/><e/></a>", true), ("<a><b/><c/><d/><e/><f/></a>", false),
            ("<a a='1' b='2'><b c='3'/></a>", true), ("<a a='1' b='2'><b c='3'/><c/></a>", false),
            ("<a xmlns:a='urn:a' xmlns:b='urn:b'><a:b/><b:b/></a>", true),
            ("<a xmlns:a='urn:a' xmlns:b='urn:b'><a:b/><b:b/><b:b/></a>", false),
        ]
    )
    func nodes(stanza: String, isAccepted: Bool) {
        var transcript = Self.small
        transcript.limits.nodes = 5
        // Each stanza has its own.
        let lines = transcript.verified(header + "<a><b/><c/></a>" + stanza)
        #expect((lines.last != "! stanzaTooLarge") == isAccepted)
        #expect(lines.count == 3)
    }

    @Test("What a stream keeps is known, and is given back at the end of a stanza")
    func heldBytes() throws {
        let reader = StreamTranscript().reader()
        #expect(reader.heldBytes == 0)
        reader.receive(ByteBuffer(string: header))
        _ = try reader.next()
        #expect(try reader.next() == nil)
        let idle = reader.heldBytes
        #expect(idle < 1_024)
        reader.receive(ByteBuffer(string: "<a>" + (0..<1_000).map { "<b\($0) c\($0)=''/>" }.joined()))
        #expect(try reader.next() == nil)
        #expect(reader.heldBytes > 200_000)
        reader.receive(ByteBuffer(string: "</a>"))
        #expect(try reader.next() != nil)
        #expect(try reader.next() == nil)
        #expect(reader.heldBytes == idle)
    }

    @Test("The fault that comes first is told, whatever the pieces")
    func firstFault() {
        let filler = String(repeating: "a", count: 300)
        #expect(Self.small.verified(header + "<a></b>\(filler)").last == "! notWellFormed")
        #expect(Self.small.verified(header + "<a>\(filler)</b>").last == "! stanzaTooLarge")
        #expect(Self.small.verified(header + "<a><b></a><c><c><c>").last == "! notWellFormed")
        #expect(Self.small.verified(header + "<a><b a='1' a='1'/><!-").last == "! notWellFormed")
        #expect(Self.small.verified(header + "<a>&x;<!").last == "! restrictedXML")
    }

    @Test("An internal link has the stanza limit alone")
    func linkLimits() {
        var link = StreamTranscript.link
        link.limits = StreamReader.Limits(stanzaBytes: 200, tagBytes: 190, depth: 1, attributes: 1)
        let fill = String(repeating: "a", count: 200 - "<b c='' d='' e=''><f><g/></f></b>".utf8.count)
        #expect(link.verified(componentHeader + "<b c='\(fill)' d='' e=''><f><g/></f></b>").count == 2)
        #expect(link.verified(componentHeader + "<b c='\(fill)1' d='' e=''><f><g/></f></b>").last == "! stanzaTooLarge")
        #expect(link.verified(componentHeader + "<b>\(fill)\(fill)</b>").last == "! stanzaTooLarge")
    }

    @Test("A limit holds at once when it is changed between two stanzas")
    func changedLimit() throws {
        let reader = Self.small.reader()
        let big = "<a>" + String(repeating: "a", count: 300) + "</a>"
        reader.receive(ByteBuffer(string: header + "<success/>" + big + big))
        _ = try reader.next()
        _ = try reader.next()
        reader.limits.stanzaBytes = 1_000
        #expect(try reader.next() != nil)
        reader.limits.stanzaBytes = 200
        #expect(throws: StreamReader.Failure.stanzaTooLarge) { _ = try reader.next() }
    }

    @Test("White space between stanzas is free")
    func whiteSpace() throws {
        let reader = Self.small.reader()
        reader.receive(ByteBuffer(string: header))
        #expect(try reader.next() != nil)
        let space = ByteBuffer(repeating: 0x20, count: 1_000)
        for _ in 0..<1_000 {
            reader.receive(space)
            #expect(try reader.next() == nil)
            #expect(reader.storedBytes == 0)
        }
        reader.receive(ByteBuffer(string: "<presence/>"))
        #expect(try reader.next() != nil)
    }

    @Test(
        "A stanza of 10 GB, a tag or a text without an end, and endless levels cost no more than the limits",
        arguments: [
            "a", "<b>", "<b/>", "<b></b>", "&amp;", "]", "\n", "&", "<b c='", "<![CDATA[", "'", "<b xmlns:c='urn:c'>",
            "\u{1F600}",
        ]
    )
    func bounded(filler: String) {
        for trust in [StreamReader.Trust.foreign, .internalLink] {
            let reader = StreamReader(trust: trust, contentNamespaces: ["jabber:client"])
            reader.receive(ByteBuffer(string: clientHeader + "<message>"))
            let chunk = ByteBuffer(string: String(repeating: filler, count: 1_000))
            var received = 0
            var highest = 0
            var failure: StreamReader.Failure?
            while received < 1_000_000, failure == nil {
                reader.receive(chunk)
                received += chunk.readableBytes
                do {
                    while try reader.next() != nil {}
                } catch {
                    failure = error
                }
                highest = max(highest, reader.storedBytes)
            }
            #expect(failure != nil)
            #expect(highest <= 4 * 65_536)
            #expect(reader.storedBytes == 0)
        }
    }

    @Test("A rest of a stanza does not keep a large read buffer, and nothing is kept between stanzas")
    func smallRest() throws {
        let reader = StreamTranscript().reader()
        var slab = ByteBufferAllocator().buffer(capacity: 65_536)
        slab.writeString(clientHeader + "<presence/><message><body>half")
        reader.receive(slab)
        while try reader.next() != nil {}
        #expect(reader.storedBytes < 1_024)
        #expect(reader.hasJudge)
        reader.receive(ByteBuffer(string: "</body></message>"))
        #expect(try reader.next() != nil)
        #expect(try reader.next() == nil)
        #expect(reader.storedBytes == 0)
        #expect(!reader.hasJudge)
    }

    @Test(
        "Time grows with the bytes, also when a token comes byte by byte",
        arguments: [
            "<a b='", "<a>&", "<a>", "<a>]", "<a><![CDATA[",
        ]
    )
    func linearTime(start: String) throws {
        // 200,000 single bytes: read anew at each byte, this would be 10^10 steps.
        let limits = StreamReader.Limits(stanzaBytes: 524_288, tagBytes: 524_288)
        let reader = StreamReader(trust: .foreign, contentNamespaces: ["jabber:client"], limits: limits)
        reader.receive(ByteBuffer(string: clientHeader + start))
        let byte = ByteBuffer(string: start.hasSuffix("'") ? ">" : start.hasSuffix("]") ? "]" : "x")
        for _ in 0..<200_000 {
            _ = try reader.next()
            reader.receive(byte)
        }
        #expect(try reader.next() == nil)
    }

    @Test("Long namespaces are refused, so that few bytes stay few in a tree")
    func longNamespaces() throws {
        let uri = "urn:" + String(repeating: "x", count: 600)
        #expect(StreamTranscript().lines(clientHeader + "<a xmlns='\(uri)'/>").last == "! stanzaTooLarge")
        #expect(StreamTranscript().lines(clientHeader.dropLast() + " xmlns:x='\(uri)'>") == ["! stanzaTooLarge"])
    }

    @Test("An element that would grow beyond the limit when written anew is refused")
    func rewrittenSize() throws {
        let uri = "urn:" + String(repeating: "x", count: 500)
        let header = clientHeader.dropLast() + " xmlns:p='\(uri)'>"
        let stanza = "<message>" + String(repeating: "<p:a/>", count: 1_000) + "</message>"
        #expect(StreamTranscript().lines(header + stanza).last == "! stanzaTooLarge")
        #expect(StreamTranscript().lines(header + "<message><p:a/></message>").last?.hasSuffix("a") == true)
    }
}

private let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
