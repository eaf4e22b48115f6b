// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import XML
import XMPPCore

@testable import C2S

/// A connection's machine with a real reader in front of it: a test says what the client sends and reads what the
/// machine does as lines.
///
/// Bytes to the client are there as they are; everything else is a line that begins with `*`.
struct Conversation {
    static let secret = Array("fake salt".utf8)
    static let header =
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='one.example' version='1.0' "
        + "xmlns:stream='http://etherx.jabber.org/streams'>"
    /// What a header of ours is shortened to.
    static let answer = "HEADER "

    var machine: C2SConnectionStateMachine
    private let reader = StreamReader(trust: .foreign, contentNamespaces: [Namespace.client])
    private(set) var lines: [String] = []

    init(isDirectTLS: Bool = false, change: (inout C2SConnectionStateMachine.Configuration) -> Void = { _ in }) {
        var configuration = C2SConnectionStateMachine.Configuration(
            domains: ["one.example", "two.example"],
            mechanisms: SASLMechanism.allCases,
            serverSecret: Self.secret,
            iterations: [4_096]
        )
        change(&configuration)
        machine = C2SConnectionStateMachine(
            configuration: configuration,
            isDirectTLS: isDirectTLS,
            sessionName: "fresh",
            address: "192.0.2.1"
        )
    }

    /// The client sends; the result is what happens.
    @discardableResult
    mutating func client(_ text: String) -> [String] {
        reader.receive(ByteBuffer(string: text))
        lines = []
        do throws(StreamReader.Failure) {
            while !machine.isWaiting, let event = try reader.next() {
                switch event {
                case .streamOpened(let header):
                    let features = ["one.example": ByteBuffer(string: "<ver xmlns='urn:xmpp:features:rosterver'/>")]
                    add(machine.streamOpened(header, id: "id", sessionFeatures: features))
                case .element(let element):
                    if machine.phase == .session {
                        switch machine.sessionElementReceived(element, id: "id") {
                        case .actions(let actions): add(actions)
                        case .forward(let message): add(message)
                        }
                    } else {
                        add(machine.elementReceived(element, id: "id", hasUnreadInput: reader.hasUnreadInput))
                    }
                case .streamClosed: add(machine.streamClosed())
                case .route: break
                }
            }
        } catch {
            add(machine.readerFailed(error, id: "id"))
        }
        return lines
    }

    /// Something else happens.
    @discardableResult
    mutating func event(_ body: (inout C2SConnectionStateMachine) -> [C2SConnectionStateMachine.Action]) -> [String] {
        lines = []
        add(body(&machine))
        return lines
    }

    // MARK: Short ways

    /// Through TLS and to the mechanisms.
    mutating func secure(bindings: ChannelBindings = .none) {
        if machine.phase != .handshaking {
            client(Self.header)
            client("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        }
        event { $0.handshakeCompleted(version: "TLSv1.3", bindings: bindings) }
        client(Self.header)
    }

    /// Through login, as `juliet`.
    mutating func logIn() {
        secure()
        client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>")
        event { $0.passwordChecked(true, id: "id") }
        client(Self.header)
    }

    /// To a session of `juliet@one.example/r`.
    mutating func bind() throws {
        logIn()
        client("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        let jid = try JID("juliet@one.example/r")
        event { $0.opened(jid) }
    }

    /// To a session with stream management.
    mutating func enable() throws {
        try bind()
        client("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        event { $0.enabled(token: "token", max: 600) }
    }

    // MARK: Lines

    private mutating func add(_ actions: [C2SConnectionStateMachine.Action]) {
        for action in actions {
            switch action {
            case .send(let buffer): lines.append(Self.shorten(String(buffer: buffer)))
            case .startTLS(let domain): lines.append("* TLS \(domain)")
            case .restartStream:
                lines.append("* restart")
                reader.reset()
            case .loadCredentials(let user, let hash):
                lines.append("* credentials \(user) \(hash?.rawValue ?? "any")")
            case .delayFailure(let user, let failure):
                lines.append("* failed \(user?.description ?? "nobody") \(failure.rawValue)")
            case .loggedIn(let user): lines.append("* logged in \(user)")
            case .tellOwner(let content):
                add(SessionMessage(session: machine.sessionName, attach: machine.attach, content))
            case .sessionBegan(let jid): lines.append("* session \(jid)")
            case .sessionRenamed(let from): lines.append("* renamed from \(from) to \(machine.sessionName)")
            case .close(let atOnce): lines.append(atOnce ? "* close at once" : "* close")
            }
        }
    }

    private mutating func add(_ message: SessionMessage) {
        var buffer = ByteBuffer()
        message.write(with: RouteHead(from: "c2s", to: "sm"), into: &buffer)
        lines.append("* to SM " + String(buffer: buffer).replacing(#/ b='[0-9]+'/#, with: "", maxReplacements: 1))
    }

    private static func shorten(_ text: String) -> String {
        guard text.hasPrefix("<?xml version='1.0'?><stream:stream"), let end = text.firstIndex(of: ">"),
            let second = text[text.index(after: end)...].firstIndex(of: ">")
        else { return text }
        return answer + text[text.index(after: second)...]
    }
}

/// The text of a stream error, and the end of the stream.
func streamError(_ condition: String) -> String {
    "<stream:error><\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
}

enum StreamElementFixture {
    static func element(_ name: String, _ attributes: KeyValuePairs<String, String>) -> StreamElement {
        StreamElement(
            name: name,
            namespace: Namespace.client,
            attributes: attributes.map { TagAttribute(name: $0.key, value: $0.value) }
        )
    }
}
