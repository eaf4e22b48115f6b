// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// What `TLSHandler` tells the handlers after it, as user inbound events.
package enum TLSEvent: Sendable, Equatable {
    case handshakeCompleted(TLSInfo)
    /// The peer sent close_notify: nothing more will come, and the channel is about to close.
    case peerClosed
}

/// TLS on a channel: ciphertext towards the socket, plaintext towards the application.
///
/// What is written before the handshake is done waits for it. Writes are encrypted at `flush`, many small ones in
/// one record. Modelled on swift-nio-ssl's `NIOSSLHandler`: every call out (`fireChannelRead`, events, promises)
/// may come back into this object, so state is set before it.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum State {
        case idle
        case handshaking
        case active
        /// close_notify is sent, or the connection failed: nothing goes out any more.
        case closed
    }

    private let connection: TLSConnection
    private var state = State.idle
    /// Plaintext that waits for a flush.
    private var unflushed: ByteBuffer?
    private var unflushedPromise: EventLoopPromise<Void>?
    /// Whether a flush was asked for before the handshake was done.
    private var isFlushPending = false
    private var takenBytes = 0

    /// Makes the handler of one connection.
    ///
    /// - Parameters:
    ///   - context: certificates and rules.
    ///   - domain: on a server, the domain whose certificate to show when SNI names none; on a client, the SNI.
    ///   - dane: on a client whose context judges peers, the TLSA records that the certificate has to match.
    /// - Throws: `TLSError.library` when OpenSSL has no memory.
    package init(context: TLSContext, domain: String?, dane: DANE? = nil) throws(TLSError) {
        connection = try TLSConnection(context: context, domain: domain, dane: dane)
    }

    /// The peer's certificate and what it is worth, after the handshake; nil: it showed none.
    package func peerCertificate() -> PeerCertificate? { connection.peerCertificate }

    /// How many bytes came from the peer since the last call, whatever they carried.
    package func takeReceivedBytes() -> Int {
        defer { takenBytes = connection.receivedBytes }
        return connection.receivedBytes - takenBytes
    }

    /// How much of what came waits for the rest of its record.
    package var heldBytes: Int { connection.heldBytes }

    /// The records since the handshake that carried no data.
    var recordsWithoutData: Int { connection.recordsWithoutData }

    /// Has the next write renew the keys, for tests.
    func updateKeys() { connection.updateKeys() }

    /// Keying material of this connection (RFC 5705), with an empty context; none before the handshake is done and
    /// where RFC 9266 forbids its use.
    package func exporter(label: String, length: Int) -> [UInt8]? {
        state == .active ? connection.exporter(label: label, length: length) : nil
    }

    /// The data of `tls-exporter` (RFC 9266 §2).
    package func channelBindingExporter() -> [UInt8]? {
        exporter(label: "EXPORTER-Channel-Binding", length: 32)
    }

    /// The data of `tls-server-end-point` (RFC 5929 §4.1).
    package func serverEndPoint() -> [UInt8]? { connection.serverEndPoint() }

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { start(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        fail(.closed)
    }

    package func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        let wasHandshaking = state == .handshaking
        state = .closed
        connection.discardInbound()
        fail(.closed)
        if wasHandshaking { context.fireErrorCaught(TLSError.handshakeFailed("connection closed")) }
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        connection.receive(unwrapInboundIn(data))
        if state == .handshaking { continueHandshake(context) }
        if state == .active { decrypt(context) }
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard state != .closed else {
            promise?.fail(TLSError.closed)
            return
        }
        var buffer = unwrapOutboundIn(data)
        if var gathered = unflushed {
            unflushed = nil
            gathered.writeBuffer(&buffer)
            unflushed = gathered
        } else {
            unflushed = buffer
        }
        if unflushedPromise != nil {
            unflushedPromise?.futureResult.cascade(to: promise)
        } else {
            unflushedPromise = promise
        }
    }

    package func flush(context: ChannelHandlerContext) {
        switch state {
        case .idle, .handshaking: isFlushPending = true
        case .active: encrypt(context)
        case .closed: context.flush()
        }
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all else {
            context.close(mode: mode, promise: promise)
            return
        }
        if state == .active { encrypt(context) }
        endTLS(context)
        context.close(mode: .all, promise: promise)
    }

    // MARK: - Steps

    private func start(_ context: ChannelHandlerContext) {
        guard state == .idle else { return }
        state = .handshaking
        continueHandshake(context)
    }

    private func continueHandshake(_ context: ChannelHandlerContext) {
        let step = connection.handshake()
        sendOutbound(context, promise: nil)
        switch step {
        case .needsInput:
            return
        case .done:
            state = .active
            context.fireUserInboundEventTriggered(TLSEvent.handshakeCompleted(connection.info))
            if isFlushPending, state == .active { encrypt(context) }
        case .closed:
            abandon(context, .handshakeFailed("closed by the peer"))
        case .failed(let reason):
            abandon(context, .handshakeFailed(reason))
        }
    }

    private func decrypt(_ context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 0)
        var step = connection.read(into: &buffer)
        // Small records go on as one piece.
        while step == .done { step = connection.read(into: &buffer) }
        if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
        guard state == .active else { return }
        switch step {
        case .done, .needsInput:
            if connection.isExcessive { return abandon(context, .recordFailed("too many records without data")) }
            // A key update or the like may want an answer.
            sendOutbound(context, promise: nil)
        case .closed:
            // RFC 8446 §6.1: nothing follows; ours goes out, and the connection ends.
            endTLS(context)
            context.fireUserInboundEventTriggered(TLSEvent.peerClosed)
            context.close(promise: nil)
        case .failed(let reason):
            abandon(context, .recordFailed(reason))
        }
    }

    private func encrypt(_ context: ChannelHandlerContext) {
        isFlushPending = false
        guard let buffer = unflushed else { return }
        let promise = unflushedPromise
        unflushed = nil
        unflushedPromise = nil
        let step = connection.write(buffer)
        guard step == .done else {
            promise?.fail(TLSError.closed)
            abandon(context, .recordFailed("\(step)"))
            return
        }
        sendOutbound(context, promise: promise)
    }

    private func sendOutbound(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
        guard let buffer = connection.takeOutbound() else {
            promise?.succeed()
            return
        }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }

    /// Says close_notify and accepts nothing more.
    private func endTLS(_ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        state = .closed
        connection.close()
        connection.discardInbound()
        sendOutbound(context, promise: nil)
        fail(.closed)
    }

    /// Ends a connection that failed; the alert, if any, is with what goes out.
    private func abandon(_ context: ChannelHandlerContext, _ error: TLSError) {
        guard state != .closed else { return }
        state = .closed
        connection.discardInbound()
        sendOutbound(context, promise: nil)
        fail(error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    private func fail(_ error: TLSError) {
        let promise = unflushedPromise
        unflushed = nil
        unflushedPromise = nil
        promise?.fail(error)
    }
}
