// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import TLS

/// What a load client tells the pool that it belongs to; all on the one event loop of the generator.
protocol LoadClientOwner: AnyObject {
    func clientReady(_ client: LoadClient)
    func clientEnded(_ client: LoadClient, reason: String)
    func client(_ client: LoadClient, received stanza: ReceivedStanza)
    func clientFinishedReading(_ client: LoadClient)
}

/// One client under load: it logs in and then hands every stanza to its owner.
final class LoadClient: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Stanzas between two requests for an acknowledgement, where XEP-0198 is on.
    private static let stanzasPerRequest = 20

    /// The number of the account.
    let number: Int
    /// Set by the owner: where this client stands in what it is part of.
    var index = 0
    private(set) var address = ""
    private(set) var loginTime = TimeAmount.zero
    /// As OpenSSL writes it; none without TLS.
    private(set) var tlsVersion: String?
    private weak var owner: (any LoadClientOwner)?
    private let tls: TLSContext?
    private let domain: String
    private let passwords: SaltedPasswords
    private var login: LoginStateMachine
    private var scanner = StanzaScanner()
    private var context: ChannelHandlerContext?
    private var output = ByteBuffer()
    private var isReading = false
    private var isDone = false
    private let started = NIODeadline.now()
    // XEP-0198
    private var receivedStanzas = 0
    private var sentStanzas = 0
    private var acknowledgedStanzas = 0
    private var owesAcknowledgement = false

    init(
        number: Int,
        owner: any LoadClientOwner,
        tls: TLSContext?,
        login: LoginStateMachine,
        domain: String,
        passwords: SaltedPasswords
    ) {
        self.number = number
        self.owner = owner
        self.tls = tls
        self.login = login
        self.domain = domain
        self.passwords = passwords
    }

    /// Puts a stanza into the output, which leaves with `flush()`, at the latest at the end of a read burst.
    func send(_ stanza: (inout ByteBuffer) -> Void) {
        stanza(&output)
        guard login.isManaged else { return }
        sentStanzas += 1
        if sentStanzas.isMultiple(of: Self.stanzasPerRequest) { requestAcknowledgement() }
    }

    func send(_ text: String) {
        send { _ = $0.writeString(text) }
    }

    /// Asks for an acknowledgement of all that was sent, where XEP-0198 is on.
    func requestAcknowledgement() {
        if login.isManaged { output.writeStaticString("<r xmlns='urn:xmpp:sm:3'/>") }
    }

    /// Whether the server acknowledged all that was sent; without XEP-0198 nobody knows.
    var isAcknowledged: Bool { login.isManaged && acknowledgedStanzas == sentStanzas }

    /// Writes the output; nothing in the midst of a read burst, which ends with a flush.
    func flush() {
        guard !isReading, let context else { return }
        if owesAcknowledgement {
            owesAcknowledgement = false
            output.writeString("<a xmlns='urn:xmpp:sm:3' h='\(receivedStanzas)'/>")
        }
        guard output.readableBytes > 0 else { return }
        let bytes = output
        output = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Ends the stream, so that the server counts what it sent as received, and then the connection.
    func close() {
        isDone = true
        guard let context else { return }
        if login.isManaged { owesAcknowledgement = true }
        output.writeStaticString("</stream:stream>")
        isReading = false
        flush()
        context.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) { openStream() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        scanner.receive(unwrapInboundIn(data))
        while !isDone, let event = scanner.next() {
            switch event {
            case .stanza(let stanza): handle(stanza, context)
            case .streamEnd: end("the server ended the stream")
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        owner?.clientFinishedReading(self)
        flush()
    }

    func channelInactive(context: ChannelHandlerContext) { end("the server closed the connection") }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSEvent.handshakeCompleted(let info) = event { tlsVersion = info.version }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end("\(error)")
        context.close(promise: nil)
    }

    private func handle(_ stanza: ReceivedStanza, _ context: ChannelHandlerContext) {
        guard login.isReady else { return logIn(stanza, context) }
        switch stanza.kind {
        case .message, .presence: receivedStanzas += 1
        case .iq:
            receivedStanzas += 1
            answer(stanza)
        case .acknowledgementRequest:
            owesAcknowledgement = true
            return
        case .acknowledgement:
            acknowledgedStanzas = stanza["h"].flatMap { Int($0) } ?? acknowledgedStanzas
            return
        case .other: return end("the server sent \(stanza.text.prefix(300))")
        }
        owner?.client(self, received: stanza)
    }

    private func logIn(_ stanza: ReceivedStanza, _ context: ChannelHandlerContext) {
        if login.isManaged {
            if stanza.kind == .acknowledgementRequest { owesAcknowledgement = true }
            if stanza.kind == .acknowledgementRequest || stanza.kind == .acknowledgement { return }
            receivedStanzas += 1
        }
        switch login.received(stanza, nonce: Digest.randomName(), passwords: passwords) {
        case .nothing: break
        case .send(let text): output.writeString(text)
        case .startTLS: startTLS(context)
        case .restartStream: openStream()
        case .ready:
            address = login.address
            loginTime = .now() - started
            sentStanzas = login.countedStanzas
            owner?.clientReady(self)
        case .failed(let reason): end(reason)
        }
    }

    private func startTLS(_ context: ChannelHandlerContext) {
        guard let tls else { return end("TLS without a context") }
        do {
            try context.pipeline.syncOperations.addHandler(TLSHandler(context: tls, domain: domain), position: .first)
            openStream()
        } catch {
            end("\(error)")
        }
    }

    /// A ping (XEP-0199) is the only request that a server makes of a client; an answer to an error would be wrong.
    private func answer(_ iq: ReceivedStanza) {
        guard iq.has("type", "get"), let id = iq["id"], let from = iq["from"] else { return }
        send("<iq type='result' to='\(from)' id='\(id)'/>")
    }

    private func openStream() {
        scanner.restart()
        output.writeString(login.header)
        flush()
    }

    private func end(_ reason: String) {
        guard !isDone else { return }
        isDone = true
        owner?.clientEnded(self, reason: reason)
    }
}
