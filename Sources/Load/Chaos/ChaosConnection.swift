// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import SASL
import TLS

/// Whom a connection tells what it sees; all on the one event loop of the generator.
protocol ChaosConnectionOwner: AnyObject {
    /// The client is logged in: the session is resumed, or a new one is bound.
    func connectionReady(_ connection: ChaosConnection, _ login: LoginStateMachine)
    func connection(_ connection: ChaosConnection, received stanza: ReceivedStanza)
    /// All that could be read at once was read: the time to write.
    func connectionFinishedReading(_ connection: ChaosConnection)
    /// It is over, for another reason than a call of `close` or `drop`.
    func connectionEnded(_ connection: ChaosConnection, reason: String)
}

/// One connection of a client of a chaos run: logs in, and then passes on what comes.
final class ChaosConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How the connection is broken by the client's own will.
    enum Drop: CaseIterable {
        /// The socket is closed: the server reads the end of it.
        case close
        /// The connection is reset.
        case reset
    }

    let started: NIODeadline
    private weak var owner: (any ChaosConnectionOwner)?
    private let tls: TLSContext?
    private let domain: String
    private let passwords: SaltedPasswords
    private var login: LoginStateMachine
    private var scanner = StanzaScanner()
    private var context: ChannelHandlerContext?
    private var output = ByteBuffer()
    private var isReading = false
    private var isOver = false
    /// Of our end, by which the server's end is found; nil before the connection stands.
    private(set) var localPort: Int?
    private(set) var remotePort: Int?

    init(
        owner: any ChaosConnectionOwner,
        tls: TLSContext?,
        login: LoginStateMachine,
        domain: String,
        passwords: SaltedPasswords
    ) {
        started = .now()
        self.owner = owner
        self.tls = tls
        self.login = login
        self.domain = domain
        self.passwords = passwords
    }

    /// Puts text into the output, which leaves with `flush()`, at the latest at the end of a read burst.
    func write(_ text: String) { output.writeString(text) }

    /// Writes the output; nothing in the midst of a read burst, which ends with a flush.
    func flush() {
        guard !isReading, let context, output.readableBytes > 0 else { return }
        let bytes = output
        output = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Ends the stream and then the connection.
    func close() {
        guard !isOver else { return }
        isOver = true
        isReading = false
        write("</stream:stream>")
        flush()
        context?.close(promise: nil)
    }

    /// Breaks the connection without a word.
    func drop(_ how: Drop) {
        guard !isOver else { return }
        isOver = true
        guard let channel = context?.channel else { return }
        if how == .reset, let socket = channel as? any SocketOptionProvider {
            _ = socket.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        // From below TLS, which would say goodbye.
        let below = try? channel.pipeline.syncOperations.context(handlerType: TLSHandler.self)
        (below ?? context)?.close(promise: nil)
    }

    /// Reads nothing more, as if the network were gone without a word: the server finds out only if it asks.
    func stopReading() {
        context?.channel.setOption(.autoRead, value: false).whenFailure { _ in }
    }

    /// Gives the connection up because of something that it did; the owner is told.
    func giveUp(_ reason: String) {
        end(reason)
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if isOver { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        localPort = context.channel.localAddress?.port
        remotePort = context.channel.remoteAddress?.port
        openStream()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        isReading = true
        scanner.receive(unwrapInboundIn(data))
        while !isOver, let event = scanner.next() {
            switch event {
            case .stanza(let stanza): handle(stanza, context)
            case .streamEnd: giveUp("the server ended the stream")
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        if !isOver { owner?.connectionFinishedReading(self) }
        flush()
    }

    func channelInactive(context: ChannelHandlerContext) { end("the server closed the connection") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { giveUp("\(error)") }

    private func handle(_ stanza: ReceivedStanza, _ context: ChannelHandlerContext) {
        if stanza.kind == .other, stanza.name == "error" {
            return giveUp("stream error: \(stanza.text.prefix(200))")
        }
        guard !login.isReady else {
            owner?.connection(self, received: stanza)
            return
        }
        switch login.received(stanza, nonce: Digest.randomName(), passwords: passwords) {
        case .nothing: break
        case .send(let text): write(text)
        case .startTLS: startTLS(context)
        case .restartStream: openStream()
        case .ready: owner?.connectionReady(self, login)
        case .failed(let reason): giveUp(reason)
        }
    }

    private func startTLS(_ context: ChannelHandlerContext) {
        guard let tls else { return giveUp("TLS without a context") }
        do {
            try context.pipeline.syncOperations.addHandler(TLSHandler(context: tls, domain: domain), position: .first)
            openStream()
        } catch {
            giveUp("\(error)")
        }
    }

    private func openStream() {
        scanner.restart()
        write(login.header)
        flush()
    }

    private func end(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        owner?.connectionEnded(self, reason: reason)
    }
}
