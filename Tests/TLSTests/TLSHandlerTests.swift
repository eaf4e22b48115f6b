// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import TLS

@Suite struct TLSHandlerTests {
    private static func serverContext(alpn: [String] = []) throws -> TLSContext {
        let (_, identities) = try TestCertificates.identities()
        return try TLSContext(
            server: .init(identities: identities, defaultDomain: "one.example", alpn: alpn)
        )
    }

    private func send(_ text: String, from channel: EmbeddedChannel) {
        channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
    }

    @Test(arguments: [TLSContext.Version.tls12, .tls13], [1, 2, 3, 5, 7, 100, Int.max])
    func `text passes both ways, wherever the bytes are split`(version: TLSContext.Version, size: Int) throws {
        let pair = try BackToBack(server: Self.serverContext(), client: .init(maximumVersion: version))
        pair.pieceSize = size
        try pair.connect()
        #expect(pair.serverRecorder.info?.version == (version == .tls12 ? "TLSv1.2" : "TLSv1.3"))
        #expect(pair.serverRecorder.info?.serverName == "one.example")
        let long = String(repeating: "0123456789abcdef", count: 4_000)
        send(long, from: pair.client)
        send("hello", from: pair.server)
        try pair.pump()
        #expect(pair.serverRecorder.text == long)
        #expect(pair.clientRecorder.text == "hello")
        pair.finish()
        #expect(pair.serverRecorder.errors.isEmpty)
    }

    @Test func `what is written before the handshake waits for it, in order`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        send("first ", from: pair.client)
        send("second", from: pair.client)
        try pair.connect()
        #expect(pair.serverRecorder.text == "first second")
        pair.finish()
    }

    @Test func `writes succeed when their bytes are out, also many between two flushes`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        let first = pair.server.write(ByteBuffer(string: "a"))
        let second = pair.server.write(ByteBuffer(string: "b"))
        pair.server.flush()
        try first.wait()
        try second.wait()
        // One flush, one record.
        #expect(try pair.server.readOutbound(as: ByteBuffer.self)?.readableBytes == 24)
        pair.finish()
    }

    @Test(arguments: [
        ("one.example", "one.example"), ("two.example", "two.example"), ("TWO.example", "two.example"),
        ("chat.one.example", "one.example"), ("other.example", "one.example"), (nil, "one.example"),
    ])
    func `the certificate is that of the name which the client asks for`(sni: String?, shown: String) throws {
        let pair = try BackToBack(server: Self.serverContext(), sni: sni)
        try pair.connect()
        #expect(pair.clientRecorder.info?.peerCertificate?.names.first == shown)
        pair.finish()
    }

    @Test func `without SNI the domain that the stream named decides`() throws {
        let pair = try BackToBack(server: Self.serverContext(), defaultDomain: "two.example", sni: nil)
        try pair.connect()
        #expect(pair.clientRecorder.info?.peerCertificate?.names == ["two.example"])
        pair.finish()
    }

    @Test(arguments: [
        ([], ["xmpp-client"], nil), (["xmpp-client"], ["xmpp-client"], "xmpp-client"),
        (["h2", "xmpp-client"], ["xmpp-client"], "xmpp-client"), (["xmpp-client"], [], nil), (["h2"], [], nil),
    ])
    func `ALPN agrees on our protocol`(offered: [String], accepted: [String], agreed: String?) throws {
        let pair = try BackToBack(server: Self.serverContext(alpn: accepted), client: .init(alpn: offered))
        try pair.connect()
        #expect(pair.serverRecorder.info != nil)
        #expect(pair.serverRecorder.info?.alpn == agreed)
        #expect(pair.clientRecorder.info?.alpn == agreed)
        pair.finish()
    }

    @Test(arguments: [TLSContext.Version.tls12, .tls13])
    func `a client of other protocols only is refused`(version: TLSContext.Version) throws {
        let pair = try BackToBack(
            server: Self.serverContext(alpn: ["xmpp-client"]),
            client: .init(alpn: ["h2", "http/1.1"], maximumVersion: version)
        )
        try pair.connect()
        #expect(pair.serverRecorder.info == nil)
        #expect(pair.serverRecorder.errors == [.handshakeFailed("no application protocol")])
        // The alert arrived.
        #expect(pair.clientRecorder.errors == [.handshakeFailed("tlsv1 alert no application protocol")])
        #expect(!pair.server.isActive)
    }

    @Test(arguments: [TLSContext.Version.tls12, .tls13])
    func `both sides derive the same channel binding data`(version: TLSContext.Version) throws {
        let pair = try BackToBack(server: Self.serverContext(), client: .init(maximumVersion: version))
        #expect(pair.serverTLS.channelBindingExporter() == nil)
        try pair.connect()
        let exporter = try #require(pair.serverTLS.channelBindingExporter())
        #expect(exporter.count == 32)
        #expect(pair.clientTLS.channelBindingExporter() == exporter)
        #expect(pair.serverTLS.exporter(label: "EXPORTER-Other", length: 32) != exporter)
        #expect(pair.serverTLS.serverEndPoint() == pair.clientTLS.serverEndPoint())
        // Another connection has other data.
        let other = try BackToBack(server: Self.serverContext(), client: .init(maximumVersion: version))
        try other.connect()
        #expect(other.serverTLS.channelBindingExporter() != exporter)
        pair.finish()
        other.finish()
    }

    @Test(arguments: [
        ("one.example", "a80b083e3e4f3bb1951c09b9a26f6e17fc712c46d140004e6b7e3534f8715f5c"),
        (
            "two.example",
            "ed8ca4fb3aa6395ad7b321944ad0a784ac693ff0ad7df0748aca013149ef5ee1c10c58294ae25cfc415649baffb141cc"
        ),
    ])
    func `tls-server-end-point hashes with the certificate's own algorithm`(domain: String, hash: String) throws {
        let pair = try BackToBack(server: Self.serverContext(), sni: domain)
        try pair.connect()
        let digest = try #require(pair.serverTLS.serverEndPoint())
        let hex = digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(hex == hash)
        pair.finish()
    }

    @Test func `close says close_notify, and the peer hears what came before it`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        pair.server.write(ByteBuffer(string: "last words"), promise: nil)
        pair.server.close(promise: nil)
        try pair.pump()
        #expect(pair.clientRecorder.text == "last words")
        #expect(pair.clientRecorder.peerClosed)
        #expect(!pair.client.isActive)
        #expect(pair.clientRecorder.errors.isEmpty)
    }

    @Test func `nothing is written after the end`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        pair.client.close(promise: nil)
        try pair.pump()
        #expect(pair.serverRecorder.peerClosed)
        let write = pair.server.writeAndFlush(ByteBuffer(string: "late"))
        #expect(throws: (any Error).self) { try write.wait() }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "<?xml version='1.0'?><stream:stream>", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ])
    func `what is no TLS ends the connection at once`(text: String) throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.server.connect(to: .init(unixDomainSocketPath: "/server")).wait()
        _ = try? pair.server.writeInbound(ByteBuffer(string: text))
        #expect(pair.serverRecorder.errors.count == 1)
        #expect(!pair.server.isActive)
    }

    @Test func `a broken record ends the connection and delivers nothing of it`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        send("secret", from: pair.client)
        var record = try #require(try pair.client.readOutbound(as: ByteBuffer.self))
        let last = try #require(record.getInteger(at: record.writerIndex - 1, as: UInt8.self))
        record.setInteger(last ^ 1, at: record.writerIndex - 1)
        _ = try? pair.server.writeInbound(record)
        #expect(pair.serverRecorder.text.isEmpty)
        #expect(pair.serverRecorder.errors.count == 1)
        #expect(!pair.server.isActive)
    }

    @Test func `a client may renew its keys now and then, and not for ever`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        for number in 0..<10 {
            try pair.updateKeys()
            send("\(number)", from: pair.client)
        }
        try pair.pump()
        #expect(pair.serverRecorder.text == "0123456789")
        for _ in 0..<1_000 { try pair.updateKeys() }
        try pair.pump()
        #expect(pair.serverRecorder.errors == [.recordFailed("too many records without data")])
        #expect(!pair.server.isActive)
        // The rest was not looked at.
        #expect(pair.serverTLS.recordsWithoutData < 20)
    }

    @Test func `who sends much may renew its keys more often`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        let piece = String(repeating: "x", count: 1 << 20)
        for _ in 0..<40 {
            try pair.updateKeys()
            send(piece, from: pair.client)
            try pair.pump()
        }
        #expect(pair.serverRecorder.errors.isEmpty)
        #expect(pair.server.isActive)
    }

    @Test func `small records arrive as one piece, and all bytes are counted`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.connect()
        _ = pair.serverTLS.takeReceivedBytes()
        var all = ByteBuffer()
        for _ in 0..<100 {
            send("x", from: pair.client)
            var record = try #require(try pair.client.readOutbound(as: ByteBuffer.self))
            all.writeBuffer(&record)
        }
        let before = pair.serverRecorder.pieces
        try pair.server.writeInbound(all)
        #expect(pair.serverRecorder.text.count == 100)
        #expect(pair.serverRecorder.pieces == before + 1)
        #expect(pair.serverTLS.takeReceivedBytes() == 2_300)
        #expect(pair.serverTLS.takeReceivedBytes() == 0)
        pair.finish()
    }

    @Test func `a connection lost in the handshake is an error of the handshake`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        try pair.server.connect(to: .init(unixDomainSocketPath: "/server")).wait()
        pair.server.pipeline.fireChannelInactive()
        #expect(pair.serverRecorder.errors == [.handshakeFailed("connection closed")])
    }

    @Test func `a handler may write and close in the middle of an event`() throws {
        let pair = try BackToBack(server: Self.serverContext())
        pair.serverRecorder.onHandshake = { context in
            context.writeAndFlush(NIOAny(ByteBuffer(string: "bye")), promise: nil)
            context.close(promise: nil)
        }
        try pair.connect()
        #expect(pair.clientRecorder.text == "bye")
        #expect(pair.clientRecorder.peerClosed)
    }

    @Test func `a client verifies against the roots that it is given`() throws {
        let (path, identities) = try TestCertificates.identities()
        let context = try TLSContext(server: .init(identities: identities, defaultDomain: "one.example"))
        let good = try BackToBack(server: context, client: .init(trustFile: "\(path)/one.pem"))
        try good.connect()
        #expect(good.clientRecorder.info != nil)
        let bad = try BackToBack(server: context, client: .init(trustFile: "\(path)/two.pem"))
        try bad.connect()
        #expect(bad.clientRecorder.info == nil)
        #expect(bad.serverRecorder.errors.count == 1)
        good.finish()
    }

    @Test(arguments: [("one.example", true), ("two.example", false), ("127.0.0.1", false)])
    func `a client verifies the name that it is given`(name: String, isGood: Bool) throws {
        let (path, identities) = try TestCertificates.identities()
        let context = try TLSContext(server: .init(identities: identities, defaultDomain: "one.example"))
        let rules = TLSContext.ClientConfiguration(trustFile: "\(path)/one.pem", verifiedName: name)
        let pair = try BackToBack(server: context, client: rules)
        try pair.connect()
        #expect((pair.clientRecorder.info != nil) == isGood)
        if isGood { pair.finish() }
    }
}
