// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import TLS
import XML
import XMPPCore
import XMPPStream

/// A client's connection, from the first byte to the last (RFC 6120 §§4-7, XEP-0198 §§3-5). Pure: events in, actions
/// out; the handler does the I/O and holds the clocks.
///
/// ```
/// header(clear) → negotiating(clear) ─starttls→ handshaking → header(secured) → negotiating(secured)
///   ─auth→ waiting(credentials) ⇄ authenticating → header(authenticated) → negotiating(authenticated)
///   ─bind→ waiting(open) → session          ─resume→ waiting(resume) → session
/// any ─error, end of stream→ closing → closed
/// ```
///
/// Direct TLS begins at `handshaking`. While it is `waiting`, what the client sends stays unread, so that everything
/// is handled in its order.
struct C2SConnectionStateMachine {
    /// What does not change while a connection lasts.
    struct Configuration {
        var domains: Set<String>
        var mechanisms: [SASLMechanism]
        /// The key of the salts that unknown users are shown.
        var serverSecret: [UInt8]
        /// What the credentials of users have; one that does not exist shows one of them.
        var iterations: [Int]
        /// Failed logins, after which the stream ends.
        var loginFailures = 3
        var registrationDomains: Set<String> = []
        /// The longest wait for a resumption; 0: not offered.
        var resumptionSeconds: UInt32 = 600
        var unsettledStanzas = 1_000
        var unsettledBytes = 4 << 20
        var limitsBeforeLogin = StreamFeatures.Announcement(maxBytes: 65_536, idleSeconds: 30)
        var limitsAfterLogin = StreamFeatures.Announcement(maxBytes: 524_288, idleSeconds: 300)
    }

    /// How far the stream is secured.
    enum Stage: Equatable {
        case clear
        case secured
        case authenticated
    }

    /// What a `waiting` connection waits for.
    enum Wait: Equatable {
        case credentials
        case passwordCheck
        /// A failed login is answered late.
        case failureDelay(SASLFailure)
        case open(iq: String?)
        case resume(token: String)
        case registration(request: String)
    }

    enum Phase: Equatable {
        case header(Stage)
        case negotiating(Stage)
        case handshaking
        case waiting(Wait)
        case authenticating
        case session
        /// Our end of the stream is closed; the client may close its own.
        case closing
        case closed
    }

    /// What the handler does, in this order.
    enum Action {
        /// Write bytes to the client.
        case send(ByteBuffer)
        /// Put TLS in front, with the certificate of this domain if the client names none.
        case startTLS(domain: String)
        /// A new stream begins: forget what is left of the old one.
        case restartStream
        /// Look up the credentials and call `credentialsLoaded`; `hash` nil: any, for a password check.
        case loadCredentials(user: BareJID, hash: SCRAMHash?)
        /// A login failed: hold the answer back for as long as the throttle says, then call `failureDelayElapsed`.
        case delayFailure(user: BareJID?, SASLFailure)
        /// The login succeeded: the limits are those of a user from now on.
        case loggedIn(user: BareJID)
        /// Tell the session's owner, under the machine's session name and attach number.
        case tellOwner(SessionMessage.Content)
        /// The session begins, or goes on, here.
        case sessionBegan(JID)
        /// The connection took over a session: it has that one's name from now on, in place of this one.
        case sessionRenamed(from: String)
        /// Close the connection: politely (wait for the client's end, for a time), or at once.
        case close(atOnce: Bool)
    }

    let configuration: Configuration
    var phase: Phase
    var stage: Stage
    var isHeaderSent = false
    /// The domain of the stream, prepared.
    var domain = ""
    /// The default language of the client's stanzas.
    var language: String?
    var tlsVersion = ""
    var bindings = ChannelBindings.none
    var sasl: SASLServerStateMachine?
    /// Who tries to log in, or has.
    var user: BareJID?
    var mechanismName = ""
    var failedLogins = 0
    var failedBindings = 0
    /// The password to check, while it is being checked.
    var pendingPassword = ""
    /// The request that waits for the session's owner.
    var pendingRequest: SessionMessage.Content?

    /// The session: its name is the connection's own until a resumption gives it another.
    var sessionName: String
    var attach: UInt64 = 1
    var sender: StanzaSender?
    var jid: JID? { sender?.jid }
    var management = StreamManagement()
    /// What is kept for the session's next owner.
    var keep = SessionKeep()
    /// The client's `<enable/>`, until it is answered.
    var pendingEnable: SessionMessage.Content?
    var isResumable = false
    /// What the client owes because of what it was sent: answers that are not charged to it.
    var uncharged = 0
    let address: String
    /// What limits count the client by: its address, or the prefix of an IPv6 one.
    let network: String
    /// The addresses of stanzas that came lately, on all connections.
    let jids: JIDCache?

    /// Makes the machine of a new connection.
    ///
    /// - Parameters:
    ///   - configuration: the rules.
    ///   - isDirectTLS: TLS begins before the stream does (XEP-0368).
    ///   - sessionName: a fresh random name.
    ///   - address: the client's network address.
    ///   - network: what limits count it by; nil: the address.
    ///   - jids: what connections on the same loop share.
    init(
        configuration: Configuration,
        isDirectTLS: Bool,
        sessionName: String,
        address: String,
        network: String? = nil,
        jids: JIDCache? = nil
    ) {
        self.jids = jids
        self.configuration = configuration
        self.sessionName = sessionName
        self.address = address
        self.network = network ?? address
        stage = .clear
        phase = isDirectTLS ? .handshaking : .header(.clear)
    }

    /// Whether the handler must not take further elements from the reader.
    var isWaiting: Bool {
        switch phase {
        case .waiting, .handshaking, .closed: true
        case .session, .header, .negotiating, .authenticating, .closing: false
        }
    }

    /// Whether the client sent so much that is not settled that it must slow down (XEP-0198 makes the server keep it).
    var isOverdrawn: Bool { isOverdrawn(by: 1) }

    /// Whether it went on and on for all that: what comes now is refused.
    var isExhausted: Bool { isOverdrawn(by: 2) }

    private func isOverdrawn(by factor: Int) -> Bool {
        guard management.isCounting else { return false }
        return management.received &- max(management.settled, management.base)
            >= UInt64(factor * configuration.unsettledStanzas)
            || keep.unsettledBytes >= factor * configuration.unsettledBytes
    }

    var isAuthenticated: Bool { stage == .authenticated }

    /// A resource was bound, whatever became of the connection since.
    var hasSession: Bool { sender != nil }

    /// Whether the session's owner knows, or may know, of this connection.
    var isKnownToOwner: Bool {
        switch phase {
        case .session, .waiting(.open), .waiting(.resume): true
        case .header, .negotiating, .handshaking, .waiting, .authenticating, .closing, .closed: false
        }
    }
}

// MARK: - The end of a connection

extension C2SConnectionStateMachine {
    /// What the client sent cannot be read.
    mutating func readerFailed(_ failure: StreamReader.Failure, id: String) -> [Action] {
        fail(StreamError(failure), id: id)
    }

    /// The client ended its stream.
    mutating func streamClosed() -> [Action] {
        switch phase {
        case .closed:
            return []
        case .closing:
            phase = .closed
            return [.close(atOnce: true)]
        default:
            var actions: [Action] = isKnownToOwner ? [.tellOwner(.close)] : []
            actions += end()
            phase = .closed
            actions.append(.close(atOnce: true))
            return actions
        }
    }

    /// The connection is gone.
    mutating func connectionLost() -> [Action] {
        let actions: [Action] = isKnownToOwner ? [.tellOwner(.detached)] : []
        phase = .closed
        return actions
    }

    /// The connection is to be given up without a word: the client does not read, or does not answer.
    mutating func giveUp() -> [Action] {
        connectionLost() + [.close(atOnce: true)]
    }

    /// We end the stream with an error; its owner keeps the session, if it can be resumed.
    mutating func fail(_ error: StreamError, id: String, atOnce: Bool = false) -> [Action] {
        switch phase {
        case .closing, .closed: return []
        case .handshaking:
            phase = .closed
            return [.close(atOnce: true)]
        default: break
        }
        var actions: [Action] = isKnownToOwner ? [.tellOwner(.detached)] : []
        var buffer = ByteBuffer()
        // An error in the client's header still gets a header of ours (RFC 6120 §4.9.1.2).
        if !isHeaderSent { writeHeader(id: id, to: nil, into: &buffer) }
        error.write(to: &buffer)
        actions.append(.send(buffer))
        return actions + end() + [.close(atOnce: atOnce)]
    }

    /// Closes our end of the stream.
    mutating func end() -> [Action] {
        var buffer = ByteBuffer()
        if isHeaderSent { StreamHeaderWriter.writeClose(to: &buffer) }
        phase = .closing
        return buffer.readableBytes > 0 ? [.send(buffer)] : []
    }

    /// The login took too long.
    mutating func loginTimedOut(id: String) -> [Action] {
        guard phase != .session else { return [] }
        return fail(StreamError(.connectionTimeout, text: "the login took too long"), id: id, atOnce: true)
    }

    /// The process stops, or is about to.
    mutating func shutDown(id: String) -> [Action] {
        fail(StreamError(.systemShutdown), id: id)
    }

    /// An owner is there: what waits for one is asked again.
    mutating func ownerAvailable() -> [Action] {
        switch phase {
        case .waiting(.open), .waiting(.resume), .waiting(.registration):
            return pendingRequest.map { [.tellOwner($0)] } ?? []
        default:
            return []
        }
    }

    func writeHeader(id: String, to: JID?, into buffer: inout ByteBuffer) {
        StreamHeaderWriter(
            contentNamespace: Namespace.client,
            id: id,
            from: domain.isEmpty ? nil : domain,
            to: to?.description,
            language: "en"
        ).write(to: &buffer)
    }
}
