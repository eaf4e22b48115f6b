// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import XML
import XMPPCore

/// A part of the way of a stanza, or of a login, that can be run by itself.
struct InnerPart: Sendable {
    let name: String
    /// Makes what the part needs, and gives what one run of it does; the number returned says that it did something.
    let prepare: @Sendable () -> () -> Int

    static let all = [
        InnerPart(name: "client-stream", prepare: clientStream),
        InnerPart(name: "stanza-to-wrapper", prepare: stanzaToWrapper),
        InnerPart(name: "router-hop", prepare: routerHop),
        InnerPart(name: "wrapper-to-stanza", prepare: wrapperToStanza),
        InnerPart(name: "presence-to-50", prepare: presenceToFifty),
        InnerPart(name: "scram-sha-256", prepare: scram),
    ]

    static func named(_ name: String) -> InnerPart? { all.first { $0.name == name } }

    // MARK: Samples

    private static let message =
        "<message to='bob@example.org/phone' type='chat' id='b1946ac9-2f1c-4b4e-8a43'>"
        + "<body>A sentence of the length that people write when they chat about this and that.</body>"
        + "<active xmlns='http://jabber.org/protocol/chatstates'/></message>"

    private static let clientHeader =
        "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' "
        + "xmlns:stream='http://etherx.jabber.org/streams'>"

    private static let linkHeader =
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
        + "xmlns:stream='http://etherx.jabber.org/streams' xmlns:j='urn:jackdaw:link:0' to='sm-1.jackdaw.internal'>"

    private static func sampleStanza() -> Stanza? {
        var stanza: Stanza?
        let reader = StreamReader(trust: .foreign, contentNamespaces: [Namespace.client])
        reader.receive(ByteBuffer(string: clientHeader + message))
        while let event = try? reader.next() {
            if case .element(let element) = event { stanza = try? Stanza(element) }
        }
        return stanza
    }

    private static func sampleWrapper() -> ByteBuffer {
        var buffer = ByteBuffer()
        guard let stanza = sampleStanza() else { return buffer }
        let head = sessionHead(from: "c2s-1", to: "sm-1")
        head.write(head.message(stanza, number: 17), pair: pair, number: 4_711, to: &buffer)
        return buffer
    }

    /// How the wrappers about a session begin.
    private static func sessionHead(from: String, to: String) -> RouteHead {
        RouteHead(
            from: "\(from).jackdaw.internal",
            to: "\(to).jackdaw.internal",
            session: "abcdefghijklmnopqrstuvwx23",
            attach: 1
        )
    }

    /// What the wrappers of a channel are known by.
    private static let pair = ByteBuffer(string: " c='0a1b2c.0-3d4e5f.0' q='")

    // MARK: Parts

    /// The edge: a client's stanza is read and judged.
    private static func clientStream() -> () -> Int {
        let parsers = StreamParserCache()
        let reader = StreamReader(trust: .foreign, contentNamespaces: [Namespace.client], parsers: parsers)
        reader.receive(ByteBuffer(string: clientHeader))
        _ = try? reader.next()
        let bytes = ByteBuffer(string: message)
        return {
            reader.receive(bytes)
            guard case .element(let element)? = try? reader.next() else { return 0 }
            return element.content.readableBytes
        }
    }

    /// The edge: what was read becomes a stanza with its sender, in a wrapper.
    private static func stanzaToWrapper() -> () -> Int {
        let jids = JIDCache()
        let head = sessionHead(from: "c2s-1", to: "sm-1")
        let sender = (try? JID("alice@example.org/laptop")).map(StanzaSender.init)
        let reader = StreamReader(trust: .foreign, contentNamespaces: [Namespace.client])
        reader.receive(ByteBuffer(string: clientHeader + message))
        _ = try? reader.next()
        guard case .element(let element)? = try? reader.next(), let sender else { return { 0 } }
        var out = ByteBufferAllocator().buffer(capacity: 4_096)
        return {
            out.clear()
            guard var stanza = try? Stanza(element, jids: jids) else { return 0 }
            stanza.setSender(sender)
            head.write(head.message(stanza, number: 17), pair: pair, number: 4_711, to: &out)
            return out.readableBytes
        }
    }

    /// The router: a wrapper is read, its receiver found among three, and its bytes are appended to what goes out.
    private static func routerHop() -> () -> Int {
        let names = ["c2s-1", "c2s-2", "sm-1"].map { Array("\($0).jackdaw.internal".utf8) }
        let reader = linkReader()
        let bytes = sampleWrapper()
        var out = ByteBufferAllocator().buffer(capacity: 4_096)
        return {
            out.clear()
            reader.receive(bytes)
            guard case .route(let route)? = try? reader.next(), names.contains(where: route.isTo) else { return 0 }
            out.writeImmutableBuffer(route.bytes)
            return out.readableBytes
        }
    }

    /// SM: a wrapper becomes a stanza.
    private static func wrapperToStanza() -> () -> Int {
        let jids = JIDCache()
        let reader = linkReader()
        let bytes = sampleWrapper()
        return {
            reader.receive(bytes)
            guard case .route(let route)? = try? reader.next(), let message = try? SessionMessage(route, jids: jids),
                case .stanza(let stanza, let number, _) = message.content
            else { return 0 }
            return stanza.payload.readableBytes + Int(number ?? 0)
        }
    }

    private static func linkReader() -> StreamReader {
        let reader = StreamReader(trust: .internalLink, contentNamespaces: [Namespace.component])
        reader.receive(ByteBuffer(string: linkHeader))
        _ = try? reader.next()
        return reader
    }

    /// SM: one presence goes to fifty contacts.
    private static func presenceToFifty() -> () -> Int {
        let head = sessionHead(from: "sm-1", to: "c2s-1")
        let contacts = (1...50).compactMap { try? JID("contact\($0)@example.org") }
        let status = Element("status", Namespace.client, text: "In a meeting")
        let presence = Stanza(kind: .presence, from: try? JID("alice@example.org/laptop"), payload: [status])
        var out = ByteBufferAllocator().buffer(capacity: 65_536)
        return {
            out.clear()
            for contact in contacts {
                var copy = presence
                copy.to = contact
                head.write(head.message(copy, number: nil), pair: pair, number: 4_711, to: &out)
            }
            return out.readableBytes
        }
    }

    /// C2S: a login by SCRAM-SHA-256, the client's half of it prepared.
    private static func scram() -> () -> Int {
        let credentials = SCRAMCredentials.derive(
            prepared: "secret",
            hash: .sha256,
            salt: Array(1...16),
            iterations: 4_096
        )
        let configuration = SASLServerStateMachine.Configuration(
            domain: "example.org",
            offered: [.scramSHA256],
            bindings: .none,
            serverSecret: Array(1...32),
            iterations: [4_096]
        )
        let client = SCRAMClient(hash: .sha256, username: "alice", password: "secret", nonce: "client")
        let first = Digest.base64(Array(client.first.utf8))
        guard let final = final(of: client, first, configuration, credentials) else { return { 0 } }
        return {
            var machine = SASLServerStateMachine(configuration)
            _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: first, nonce: "server")
            _ = machine.credentialsLoaded(credentials)
            guard case .success = machine.responseReceived(final) else { return 0 }
            return 1
        }
    }

    private static func final(
        of client: SCRAMClient,
        _ first: String,
        _ configuration: SASLServerStateMachine.Configuration,
        _ credentials: SCRAMCredentials
    ) -> String? {
        var client = client
        var machine = SASLServerStateMachine(configuration)
        _ = machine.begin(mechanism: "SCRAM-SHA-256", initialResponse: first, nonce: "server")
        guard case .challenge(let challenge) = machine.credentialsLoaded(credentials),
            let bytes = Digest.base64Decode(challenge),
            let text = try? client.final(serverFirst: String(decoding: bytes, as: UTF8.self))
        else { return nil }
        return Digest.base64(Array(text.utf8))
    }
}
