// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML
import XMPPCore

@testable import ComponentLink

/// `docs/protocols.md`, section 4: how a channel's messages and words are written.
@Suite struct ChannelWordTests {
    private let head = RouteHead(from: "c2s-1", to: "sm-1")

    private func written(_ word: ChannelWord, pair: String) throws -> (text: String, route: RouteFrame) {
        var buffer = ByteBuffer()
        word.write(with: head, pair: Array(pair.utf8), into: &buffer)
        let text = String(buffer: buffer)
        return (text, try LinkReader.route(text))
    }

    @Test("An acknowledgement names its pair and has no number of its own")
    func acknowledgement() throws {
        let (text, route) = try written(.acknowledged(17), pair: "a.0-b.1")
        #expect(
            text == "<j:route b='00000043' from='c2s-1' to='sm-1' c='a.0-b.1'>"
                + "<ack xmlns='urn:jackdaw:channel:0' n='17'/></j:route>"
        )
        #expect(route.isOfChannel && route.sequence == nil)
        #expect(route.isOfChannel(Array("a.0-b.1".utf8)) && !route.isOfChannel(Array("a.0-b.2".utf8)))
        guard case .acknowledged(17) = try ChannelWord(try #require(route.inner())) else {
            Issue.record("not read: \(text)")
            return
        }
    }

    @Test("A sync is read as it was written", arguments: [true, false], [true, false])
    func sync(knowsYou: Bool, isGap: Bool) throws {
        let you = knowsYou ? Incarnation(epoch: "b'<&", generation: 3) : nil
        let sync = ReliableChannel<ChannelMessage>.Sync(
            me: Incarnation(epoch: "a", generation: 0),
            you: you,
            have: 9,
            isGap: isGap,
            ask: isGap ? nil : 3
        )
        let (text, route) = try written(.sync(sync), pair: "")
        #expect(route.isOfChannel && route.sequence == nil)
        guard case .sync(let read) = try ChannelWord(try #require(route.inner())) else {
            Issue.record("not read: \(text)")
            return
        }
        #expect(read == sync)
    }

    @Test("A message is a wrapper with its pair and its number")
    func message() throws {
        let message = SessionMessage(session: "s", attach: 2, .settled(number: 7)).message(with: head)
        var pair = ByteBuffer()
        pair.writeString(" c='a.0-b.0' q='")
        var buffer = ByteBuffer()
        message.head.write(message, pair: pair, number: 12, to: &buffer)
        #expect(buffer.readableBytes <= message.bytes)
        let route = try LinkReader.route(String(buffer: buffer))
        #expect(route.isOfChannel(Array("a.0-b.0".utf8)) && route.sequence == 12)
        let read = try #require(try SessionMessage(route))
        #expect(read.session == "s" && read.attach == 2)
        guard case .settled(7) = read.content else {
            Issue.record("not read: \(read.content)")
            return
        }
    }

    @Test(
        "What cannot be read is a fault",
        arguments: ["<sync/>", "<sync epoch='a'/>", "<ack/>", "<ack n='-1'/>", "<what/>"]
    )
    func faults(_ word: String) throws {
        let name = word.dropFirst().prefix { $0.isLetter }
        let text = "<\(name) xmlns='urn:jackdaw:channel:0'" + word.dropFirst(1 + name.count)
        let route = try LinkReader.route("<j:route from='a' to='b' c=''>\(text)</j:route>")
        let inner = try #require(route.inner())
        #expect(throws: LinkFault.self) { try ChannelWord(inner) }
    }
}
