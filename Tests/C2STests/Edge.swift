// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOEmbedded
import SASL
import TLS
import TestSupport
import Testing
import XMPPCore
import XMPPStream

@testable import C2S

/// A hub with a manual clock, a fake SM and a fake database, and clients that speak real TLS to it.
final class Edge {
    let loop = EmbeddedEventLoop()
    private(set) var hub: C2SHub
    /// What was said to SM since the last `takeSent`.
    private var sent: [Said] = []
    var queuedBytes = 0
    /// Whether what is said to SM waits in the queue.
    var fillsQueue = false
    var isDatabaseAway = false

    static let sm = "sm-1.jackdaw.internal"

    init(_ change: (inout JackdawConfiguration) -> Void = { _ in }) throws {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: "one.example")]
        change(&configuration)
        let box = Box()
        let loop = loop
        hub = C2SHub(
            configuration: C2SConfiguration(configuration),
            serverSecret: Array("secret".utf8),
            services: C2SHub.Services(
                send: { message, _ in
                    box.edge?.send(message)
                    return true
                },
                forward: { message in
                    box.edge?.send(message)
                    return true
                },
                name: "c2s",
                queuedBytes: { box.edge?.queuedBytes ?? 0 },
                credentials: { user in
                    guard box.edge?.isDatabaseAway == false else { return loop.makeFailedFuture(ChannelError.eof) }
                    return loop.makeSucceededFuture(user.local == "juliet" ? Self.credentials : [])
                },
                compute: { body in loop.makeSucceededFuture(body()) }
            ),
            metrics: C2SMetrics(MetricsRegistry()),
            eventLoop: loop,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        box.edge = self
        let identities = ["one.example": try TestCertificates.identity("one.example")]
        hub.tlsContexts = [
            .startTLS: try TLSContext(server: .init(identities: identities, defaultDomain: "one.example")),
            .direct: try TLSContext(
                server: .init(identities: identities, defaultDomain: "one.example", alpn: ["xmpp-client"])
            ),
        ]
        startSM(epoch: 1)
        sent = []
    }

    /// An SM is there, and says that it owns everybody.
    func startSM(epoch: UInt64) {
        hub.instanceAvailable(name: Self.sm, epoch: "\(epoch)", names: ["one.example"])
        let map = OwnershipMap(epoch: epoch, instances: [Self.sm])
        hub.received(SessionMessage(.handover(.map(map))), from: Self.sm)
    }

    /// What goes to SM: a word, or the stanza of a client.
    private struct Said {
        let session: String
        let attach: UInt64
        let bytes: ByteBuffer
    }

    private final class Box {
        weak var edge: Edge?
    }

    private static let credentials = [
        SCRAMCredentials.derive(prepared: "secret", hash: .sha256, salt: [1, 2, 3], iterations: 4_096)
    ]

    private func send(_ message: SessionMessage) {
        var buffer = ByteBuffer()
        message.write(with: RouteHead(from: "c2s", to: "sm"), into: &buffer)
        send(Said(session: message.session, attach: message.attach, bytes: buffer))
    }

    private func send(_ message: ChannelMessage) {
        var buffer = ByteBuffer()
        message.head.write(message, pair: ByteBuffer(string: " q='"), number: 1, to: &buffer)
        let text = String(buffer: buffer).replacing(" q='1'", with: "").replacing("to='\(Self.sm)'", with: "to='sm'")
        send(Said(session: "", attach: 0, bytes: ByteBuffer(string: text)))
    }

    private func send(_ said: Said) {
        sent.append(said)
        if fillsQueue { queuedBytes += said.bytes.readableBytes }
    }

    /// What was said to SM, as text.
    func takeSent() -> [String] {
        defer { sent = [] }
        return sent.map { said in
            let text = String(buffer: said.bytes).replacing(#/ b='[0-9]+'/#, with: "", maxReplacements: 1)
            return text.replacing("<j:route from='c2s' to='sm' s='", with: "").replacing("</j:route>", with: "")
        }
    }

    /// The session name and attach number of the last message to SM.
    var lastSession: (name: String, attach: UInt64) { (sent.last?.session ?? "", sent.last?.attach ?? 0) }

    func sm(_ session: (name: String, attach: UInt64), _ content: SessionMessage.Content) {
        hub.received(SessionMessage(session: session.name, attach: session.attach, content), from: Self.sm)
    }

    func connect(_ mode: ListenerMode = .startTLS, from address: String = "192.0.2.1") throws -> TestClient {
        try TestClient(edge: self, mode: mode, address: address)
    }

    /// A client with a session, and the session's name.
    func session(resource: String = "r") throws -> (client: TestClient, session: (name: String, attach: UInt64)) {
        let client = try connect()
        try client.logIn()
        _ = takeSent()
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        let session = lastSession
        sm(session, .opened(try JID("juliet@one.example/\(resource)")))
        client.pump()
        #expect(client.take().contains("<jid>juliet@one.example/\(resource)</jid>"))
        _ = takeSent()
        return (client, session)
    }
}

/// One client of an `Edge`: its end of the wire, and ours.
final class TestClient {
    let edge: Edge
    let server: EmbeddedChannel
    private let mode: ListenerMode
    private var tls: EmbeddedChannel?
    private var text = ""
    private(set) var isRefused = false

    init(edge: Edge, mode: ListenerMode, address: String) throws {
        self.edge = edge
        self.mode = mode
        server = EmbeddedChannel(loop: edge.loop)
        let result = edge.hub.accept(
            ClientAddress(text: address, ipv6Prefix: 64),
            mode: mode,
            now: edge.loop.now
        )
        switch result {
        case .success(let handler): try server.pipeline.syncOperations.addHandler(handler)
        case .failure(let refused):
            isRefused = true
            try server.pipeline.syncOperations.addHandler(RefusalHandler(mode: mode, reason: refused.reason))
        }
        try server.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
        if mode == .direct { try startTLS() }
        pump()
    }

    var isOpen: Bool { server.isActive }

    /// What the client has received since the last call.
    func take() -> String {
        pump()
        defer { text = "" }
        return text
    }

    func send(_ string: String) {
        let buffer = ByteBuffer(string: string)
        if let tls {
            tls.writeAndFlush(buffer, promise: nil)
        } else {
            _ = try? server.writeInbound(buffer)
        }
        pump()
    }

    func startTLS() throws {
        let handler = try TLSHandler(context: TLSContext(client: .init(alpn: ["xmpp-client"])), domain: "one.example")
        let channel = EmbeddedChannel(handler: handler, loop: edge.loop)
        tls = channel
        try channel.connect(to: SocketAddress(ipAddress: "192.0.2.2", port: 1)).wait()
        pump()
    }

    /// Through TLS, login as `juliet` and to the features after it.
    func logIn(password: String = "secret") throws {
        if mode == .startTLS {
            send(Conversation.header)
            send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            try startTLS()
        }
        send(Conversation.header)
        let message = Digest.base64(Array("\0juliet\0\(password)".utf8))
        send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\(message)</auth>")
        send(Conversation.header)
        _ = take()
    }

    /// The wire breaks.
    func breakConnection() {
        server.pipeline.fireChannelInactive()
    }

    /// Carries bytes both ways and runs what is due.
    func pump() {
        var moved = true
        while moved {
            edge.loop.run()
            moved = false
            while let buffer = try? server.readOutbound(as: ByteBuffer.self) {
                moved = true
                if let tls {
                    _ = try? tls.writeInbound(buffer)
                } else {
                    text += String(buffer: buffer)
                }
            }
            guard let tls else { continue }
            while let buffer = try? tls.readInbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
            while let buffer = try? tls.readOutbound(as: ByteBuffer.self) {
                moved = true
                if server.isActive { _ = try? server.writeInbound(buffer) }
            }
        }
    }
}
