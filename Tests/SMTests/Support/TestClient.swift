// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import NIOEmbedded
import Testing
import XML
import XMPPCore

@testable import SM

/// A client as the SM sees it: what its C2S says and hears.
final class TestClient {
    let world: World
    private(set) var name: String
    private(set) var instance: String
    private(set) var attach: UInt64 = 1
    private(set) var jid: JID?
    private(set) var sent: UInt64 = 0
    private(set) var token: String?
    /// The number of the last stanza that it got.
    private(set) var last: UInt64?
    private(set) var settled: UInt64 = 0
    private(set) var end: SessionMessage.End?
    private(set) var refusal: StanzaError?
    private(set) var resumeFailed: UInt32??
    /// The `h` that SM told at the last resumption.
    private(set) var resumedAt: UInt32?
    private var inbox: [String] = []

    init(_ world: World, _ user: String, resource: String? = nil, instance: String = World.c2s) {
        self.world = world
        self.instance = instance
        name = world.name()
        say(
            .open(
                SessionMessage.Open(
                    user: World.bare(user),
                    resource: resource,
                    address: "127.0.0.1",
                    tls: "TLSv1.3",
                    mechanism: "SCRAM-SHA-256"
                )
            )
        )
    }

    /// Logs in and sends initial presence.
    static func online(
        _ world: World,
        _ user: String,
        resource: String = "one",
        priority: Int = 0,
        resume: Bool = false
    ) -> TestClient {
        let client = TestClient(world, user, resource: resource)
        if resume { client.enable() }
        client.send("<presence><priority>\(priority)</priority></presence>")
        _ = client.take()
        return client
    }

    func say(_ content: SessionMessage.Content) {
        world.server.received(SessionMessage(session: name, attach: attach, content), from: instance)
        world.loop.run()
    }

    func send(_ xml: String) {
        sent += 1
        guard let stanza = SpoolCodec.decode(ByteBuffer(string: xml)) else {
            Issue.record("no stanza: \(xml)")
            return
        }
        say(.stanza(stanza, number: sent))
    }

    func enable(resume: Bool = true) {
        say(.enable(resume: resume, max: 600, number: sent))
        hear()
    }

    func acknowledge(_ h: UInt32) { say(.acknowledged(h: h)) }

    /// Acknowledges all that it got.
    func acknowledge() {
        hear()
        acknowledge(UInt32(last ?? 0))
    }

    /// The connection breaks.
    func detach() { say(.detached) }

    func close() { say(.close) }

    /// A new connection resumes the session with the client's count.
    func resume(h: UInt32, at instance: String = World.c2s) {
        let fresh = world.name()
        let old = name
        let user = jid?.bare ?? World.bare("nobody@localhost")
        name = fresh
        self.instance = instance
        attach = 1
        say(
            .resume(
                SessionMessage.Resume(
                    user: user,
                    token: token ?? "",
                    h: h,
                    address: "127.0.0.1",
                    tls: "TLSv1.3"
                )
            )
        )
        for message in world.take(session: fresh) {
            switch message.content {
            case .resumed(let resumed):
                name = resumed.session
                attach = resumed.attach
                sent = resumed.next - 1
                resumedAt = resumed.h
                #expect(name == old)
            case .resumeFailed(let h): resumeFailed = .some(h)
            default: Issue.record("unexpected \(message.content)")
            }
        }
    }

    /// The stanzas that arrived since the last call.
    func take() -> [String] {
        hear()
        defer { inbox = [] }
        return inbox
    }

    private func hear() {
        for message in world.take(session: name) {
            switch message.content {
            case .stanza(let stanza, let number, _):
                if message.attach == attach { inbox.append(World.text(stanza)) }
                last = number ?? last
            case .opened(let jid): self.jid = jid
            case .enabled(let token, _): self.token = token
            case .settled(let number): settled = number
            case .end(let end): self.end = end
            case .refused(let error): refusal = error
            default: break
            }
        }
    }

    /// What SM said the sender may count as settled.
    func takeSettled() -> UInt64 {
        hear()
        return settled
    }

    func takeEnd() -> SessionMessage.End? {
        hear()
        return end
    }

    func takeRefusal() -> StanzaError? {
        hear()
        return refusal
    }

    func takeJID() -> JID? {
        hear()
        return jid
    }

    /// What arrived, as stanzas.
    func stanzas() throws -> [Stanza] { try take().map { try World.stanza($0) } }
}

/// The texts of the bodies, in order.
func bodies(_ stanzas: [String]) -> [String] {
    stanzas.compactMap { xml in
        let elements = SpoolCodec.decode(ByteBuffer(string: xml)).flatMap { try? $0.payloadElements() } ?? []
        return elements.first { $0.name == "body" }?.text
    }
}
