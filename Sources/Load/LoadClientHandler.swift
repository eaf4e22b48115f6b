// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SASL
import TLS
import XML

/// What a load client tells the run that it belongs to; all on the one event loop of the generator.
protocol LoadClientOwner: AnyObject {
    func clientReady(_ client: LoadClientHandler)
    func clientFailed(_ client: LoadClientHandler, reason: String)
    func client(_ client: LoadClientHandler, received element: StreamElement)
}

/// One client under load: it logs in and then hands every stanza to its owner.
final class LoadClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let number: Int
    /// Set by the owner: what this client talks about.
    var conversation = 0
    private weak var owner: (any LoadClientOwner)?
    private let tls: TLSContext
    private let domain: String
    private var login: LoginStateMachine
    private var reader = LoadClientHandler.makeReader()
    private var context: ChannelHandlerContext?
    private var hasUnflushed = false
    private var isReading = false
    private var isDone = false

    init(number: Int, owner: any LoadClientOwner, tls: TLSContext, login: LoginStateMachine, domain: String) {
        self.number = number
        self.owner = owner
        self.tls = tls
        self.login = login
        self.domain = domain
    }

    /// Writes a stanza; it leaves with the next flush (`flush()`, or the end of the read burst).
    func send(_ buffer: ByteBuffer) {
        guard let context else { return }
        context.write(wrapOutboundOut(buffer), promise: nil)
        hasUnflushed = true
        if !isReading { flush() }
    }

    func flush() {
        guard hasUnflushed, let context else { return }
        hasUnflushed = false
        context.flush()
    }

    /// Ends the stream, so that the server counts what it sent as received, and then the connection.
    func close() {
        isDone = true
        guard let context else { return }
        context.write(wrapOutboundOut(ByteBuffer(string: "</stream:stream>")), promise: nil)
        context.flush()
        context.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) { send(ByteBuffer(string: login.header)) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        reader.receive(unwrapInboundIn(data))
        do {
            while let event = try reader.next() {
                guard case .element(let element) = event else { continue }
                try handle(element, context)
            }
        } catch {
            fail("unreadable: \(error)")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
    }

    func channelInactive(context: ChannelHandlerContext) { fail("the server closed the connection") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail("\(error)")
        context.close(promise: nil)
    }

    private func handle(_ element: StreamElement, _ context: ChannelHandlerContext) throws {
        if case .ready = login.state {
            if element.name == "iq" { return answer(element) }
            owner?.client(self, received: element)
            return
        }
        switch login.received(element, nonce: Digest.randomName()) {
        case .nothing: break
        case .send(let text): send(ByteBuffer(string: text))
        case .startTLS:
            let handler = try TLSHandler(context: tls, domain: domain)
            try context.pipeline.syncOperations.addHandler(handler, position: .first)
            openStream()
        case .restartStream: openStream()
        case .ready: owner?.clientReady(self)
        case .failed(let reason): fail(reason)
        }
    }

    /// A ping (XEP-0199) is the only request that a server makes of an idle client.
    private func answer(_ iq: StreamElement) {
        guard iq["type"] == "get", let id = iq["id"], let from = iq["from"] else { return }
        send(ByteBuffer(string: "<iq type='result' to='\(from)' id='\(id)'/>"))
    }

    private func openStream() {
        reader = Self.makeReader()
        send(ByteBuffer(string: login.header))
    }

    private func fail(_ reason: String) {
        guard !isDone else { return }
        isDone = true
        owner?.clientFailed(self, reason: reason)
    }

    private static func makeReader() -> StreamReader {
        // The server under load is trusted: start tags are all that the generator reads.
        StreamReader(
            trust: .internalLink,
            contentNamespaces: ["jabber:client"],
            limits: StreamReader.Limits(stanzaBytes: 1 << 20)
        )
    }
}
