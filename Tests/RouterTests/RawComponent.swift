// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOPosix

/// A bare socket that speaks to the component port: what it sends and sees is bytes.
struct RawComponent: Sendable {
    struct TimedOut: Error {
        let waitingFor: String
        let received: String
    }

    struct Ended: Error {
        let received: String
    }

    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>

    static func connect(
        port: Int,
        group: any EventLoopGroup,
        from address: String? = nil
    ) async throws
        -> RawComponent
    {
        let loop = group.next()
        let inbox = try await loop.submit { NIOLoopBound(Inbox(), eventLoop: loop) }.get()
        var bootstrap = ClientBootstrap(group: loop)
            .channelOption(.allowRemoteHalfClosure, value: false)
            // Small, so that a reader that stops is felt at the other end soon.
            .channelOption(.socketOption(.so_rcvbuf), value: 32_768)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(inbox.value)
                }
            }
        if let address {
            bootstrap = bootstrap.bind(to: try SocketAddress(ipAddress: address, port: 0))
        }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port).get()
        return RawComponent(channel: channel, inbox: inbox)
    }

    func send(_ text: String) {
        self.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
    }

    func send(_ bytes: ByteBuffer) {
        self.channel.writeAndFlush(bytes, promise: nil)
    }

    /// Sends and waits until the socket took it; throws when the connection is gone.
    func sendAndWait(_ bytes: ByteBuffer) async throws {
        try await self.channel.writeAndFlush(bytes).get()
    }

    /// Reads up to and including `marker`.
    func read(through marker: String, within limit: TimeAmount = .seconds(60)) async throws -> String {
        let inbox = self.inbox
        return try await self.channel.eventLoop.flatSubmit { inbox.value.wait(for: marker, limit) }.get()
    }

    /// Reads to the end of the connection.
    func readToEnd(within limit: TimeAmount = .seconds(60)) async throws -> String {
        let inbox = self.inbox
        return try await self.channel.eventLoop.flatSubmit { inbox.value.wait(for: nil, limit) }.get()
    }

    /// Stops or starts reading from the socket.
    func setReading(_ isReading: Bool) async throws {
        try await self.channel.setOption(.autoRead, value: isReading).get()
        if isReading { self.channel.read() }
    }

    /// Says nothing more, and listens on.
    func closeOutput() async throws {
        try await self.channel.close(mode: .output)
    }

    func close() async throws {
        try await self.channel.close().get()
    }

    /// Opens a stream and reads the router's header.
    @discardableResult
    func open(_ name: String, isInternal: Bool = false) async throws -> String {
        self.send(Self.header(name, isInternal: isInternal))
        let header = try await self.read(through: ">")
        // The XML declaration ends in `>` too.
        return header.contains("<stream:stream") ? header : try await header + self.read(through: ">")
    }

    func handshake(secret: String) async throws {
        try await self.answerHandshake(secret: secret)
        _ = try await self.read(through: "<handshake/>")
    }

    /// Proves the secret, whatever the router says to it.
    func answerHandshake(secret: String) async throws {
        let header = try await self.history()
        guard let id = Self.attribute("id", in: header) else { throw Ended(received: header) }
        self.send("<handshake>\(ComponentHandshake.proof(streamID: id, secret: secret))</handshake>")
    }

    /// All that was received so far.
    func history() async throws -> String {
        let inbox = self.inbox
        return try await self.channel.eventLoop.submit { inbox.value.history }.get()
    }

    static func header(_ name: String, isInternal: Bool = false) -> String {
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
            + "xmlns:stream='http://etherx.jabber.org/streams' "
            + (isInternal ? "xmlns:j='urn:jackdaw:link:0' " : "") + "to='\(name)'>"
    }

    static func attribute(_ name: String, in text: String) -> String? {
        guard let start = text.range(of: " \(name)='") else { return nil }
        let tail = text[start...]
        return tail.firstIndex(of: "'").map { String(tail[..<$0]) }
    }
}

extension String {
    /// The index behind the first occurrence of `text`.
    fileprivate func range(of text: String) -> Index? {
        var index = self.startIndex
        while index < self.endIndex {
            if self[index...].hasPrefix(text) { return self.index(index, offsetBy: text.count) }
            index = self.index(after: index)
        }
        return nil
    }
}

/// Collects what a socket receives and wakes who waits for a part of it.
final class Inbox: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private(set) var history = ""
    private var unread: [UInt8] = []
    private var isEnded = false
    private var context: ChannelHandlerContext?
    private var waiter: (marker: [UInt8]?, promise: EventLoopPromise<String>, timer: Scheduled<Void>)?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if self.history.utf8.count < 65_536 { self.history += String(buffer: bytes) }
        self.unread += bytes.readableBytesView
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.check()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isEnded = true
        self.check()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func wait(for marker: String?, _ limit: TimeAmount) -> EventLoopFuture<String> {
        guard let context = self.context else { preconditionFailure("not in a pipeline") }
        let promise = context.eventLoop.makePromise(of: String.self)
        let timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) {
            guard let waiter = self.waiter else { return }
            self.waiter = nil
            let received = String(decoding: self.unread.suffix(2_000), as: UTF8.self)
            waiter.promise.fail(RawComponent.TimedOut(waitingFor: marker ?? "the end", received: received))
        }
        self.waiter = (marker.map { Array($0.utf8) }, promise, timer)
        self.check()
        return promise.futureResult
    }

    private func check() {
        guard let waiter = self.waiter else { return }
        if let marker = waiter.marker {
            if let end = Self.end(of: marker, in: self.unread) {
                let text = String(decoding: self.unread[..<end], as: UTF8.self)
                self.unread.removeSubrange(..<end)
                self.finish { $0.succeed(text) }
            } else if self.isEnded {
                let received = String(decoding: self.unread.suffix(2_000), as: UTF8.self)
                self.finish { $0.fail(RawComponent.Ended(received: received)) }
            }
        } else if self.isEnded {
            let text = String(decoding: self.unread, as: UTF8.self)
            self.unread = []
            self.finish { $0.succeed(text) }
        }
    }

    private func finish(_ body: (EventLoopPromise<String>) -> Void) {
        guard let waiter = self.waiter else { return }
        self.waiter = nil
        waiter.timer.cancel()
        body(waiter.promise)
    }

    private static func end(of marker: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= marker.count, let first = marker.first else { return nil }
        var index = 0
        while index + marker.count <= bytes.count {
            if bytes[index] == first, bytes[index..<index + marker.count].elementsEqual(marker) {
                return index + marker.count
            }
            index += 1
        }
        return nil
    }
}
