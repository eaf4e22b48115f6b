// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import SASL
import XML
import XMPPCore
import XMPPStream

/// A stream that we open to another server: negotiation as the initiating entity (RFC 6120, XEP-0178, XEP-0220).
///
/// A pure value. It proves our domains to the peer, asks the peer as the authoritative server whether keys are its own,
/// and judges whom we talk to. Stanzas and stream management are its caller's.
struct InitiatingStream {
    enum Action {
        case send(ByteBuffer)
        /// What is read from now on is TLS.
        case startTLS
        /// The stream is opened anew.
        case restart
        /// The pair may be used; the peer proved its name by `peer`, and we ours by `own`.
        case authenticated(FederationPair, peer: AuthenticationMethod, own: AuthenticationMethod)
        /// A pair is refused while the stream goes on.
        case refused(FederationPair, FederationFailure)
        /// The peer said of a key whether it is its own.
        case verified(FederationPair, streamID: String, ReceivingStream.Verification)
        /// The stream is over for this reason; nil: it was closed.
        case close(FederationFailure?)
    }

    enum Phase: Equatable {
        case opening
        /// The features are awaited.
        case greeted
        case securing
        case saslPending
        /// Pairs and keys can be sent.
        case open
        case closing
    }

    /// A key that the peer is asked about.
    struct Question: Hashable, Sendable {
        let pair: FederationPair
        let streamID: String
        let key: String
    }

    let rules: FederationRules
    let key: DialbackKey
    /// The pair that the header names.
    let first: FederationPair
    private(set) var phase = Phase.opening
    private(set) var identity: PeerIdentity?
    private(set) var features = ServerFeatures()
    private(set) var pairs: Set<FederationPair> = []
    /// We told the peer that it may send on this stream as well (XEP-0288).
    private(set) var isBidirectional = false
    private(set) var streamID = ""
    /// Where the negotiation stands, in words, for `jackdawctl s2s test`.
    private(set) var steps: [String] = []
    private var wanted: [FederationPair] = []
    private var pending: Set<FederationPair> = []
    private var questions: [Question] = []
    private var asked: [Question] = []
    private var hasTriedExternal = false

    init(rules: FederationRules, key: DialbackKey, first: FederationPair) {
        self.rules = rules
        self.key = key
        self.first = first
    }

    // MARK: - What is wanted of it

    /// Opens the stream.
    mutating func start() -> [Action] { [.send(self.header())] }

    /// The pair is to be authenticated; the first one, or another of the same peer.
    mutating func authenticate(_ pair: FederationPair) -> [Action] {
        guard !self.pairs.contains(pair), !self.pending.contains(pair), !self.wanted.contains(pair) else { return [] }
        self.wanted.append(pair)
        return self.phase == .open ? self.proceed() : []
    }

    /// The peer is to be asked whether a key is its own.
    mutating func ask(_ question: Question) -> [Action] {
        self.questions.append(question)
        return self.phase == .open ? self.proceed() : []
    }

    private var isAuthenticated: Bool { !self.pairs.isEmpty }

    /// Whether further pairs can be proved on this stream.
    var takesMorePairs: Bool { self.phase == .open && self.features.dialback }

    // MARK: - Events

    mutating func streamOpened(_ header: StreamHeader) -> [Action] {
        guard header["xmlns:db"] != nil || header["version"] != nil || header["id"] != nil else {
            return self.fail(
                FederationFailure(.remoteServerTimeout, "\(self.first.remote) speaks no XMPP between servers")
            )
        }
        self.streamID = header["id"] ?? ""
        guard let text = header["version"], let version = StreamVersion(text), version.major >= 1 else {
            // Of before RFC 3920: dialback, and no TLS.
            self.features.dialback = true
            return self.secured()
        }
        self.phase = .greeted
        return []
    }

    mutating func handshakeCompleted(_ identity: PeerIdentity) -> [Action] {
        self.identity = identity
        self.steps.append("TLS: \(identity.tlsVersion), \(identity.cipher)")
        switch identity.judge(self.first.remote) {
        case .proved(let method): self.steps.append("certificate: it proves \(self.first.remote) (\(method.rawValue))")
        case .doubtful(let reason), .refuted(let reason): self.steps.append("certificate: it \(reason)")
        }
        self.phase = .opening
        return [.restart, .send(self.header())]
    }

    /// An element that is neither a stanza nor of stream management.
    mutating func elementReceived(_ element: StreamElement) -> [Action] {
        guard self.phase != .closing else { return [] }
        switch (element.namespace, element.name) {
        case (Namespace.streams, "features"): return self.featuresReceived(element)
        case (Namespace.streams, "error"): return self.errorReceived(element)
        case (Namespace.tls, "proceed") where self.phase == .securing: return [.startTLS]
        case (Namespace.tls, "failure"):
            return self.fail(FederationFailure(.remoteServerTimeout, "\(self.first.remote) could not begin TLS"))
        case (Namespace.sasl, "success") where self.phase == .saslPending: return self.externalSucceeded()
        case (Namespace.sasl, "failure") where self.phase == .saslPending: return self.externalFailed(element)
        case (DialbackElement.namespace, _): return self.dialbackReceived(element)
        default: return []
        }
    }

    // MARK: - Features

    private func header() -> ByteBuffer {
        var buffer = ByteBuffer()
        StreamHeaderWriter.server(from: self.first.local, to: self.first.remote).write(to: &buffer)
        return buffer
    }

    private mutating func featuresReceived(_ element: StreamElement) -> [Action] {
        guard self.phase == .greeted, let tree = try? element.element() else { return [] }
        self.features = ServerFeatures(tree)
        if self.identity == nil, self.features.startTLS {
            self.phase = .securing
            return [.send(ByteBuffer(staticString: "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"))]
        }
        return self.secured()
    }

    /// The stream is as safe as it gets: is that enough, and how do we prove who we are?
    private mutating func secured() -> [Action] {
        let remote = self.first.remote
        if self.identity == nil { self.steps.append("TLS: the peer offers none") }
        if let objection = self.rules.objection(to: self.identity, of: remote, method: self.peerMethod) {
            let text = "\(remote) \(objection)"
            let failure = FederationFailure(.policyViolation, text, isFinal: true)
            return self.fail(failure, saying: StreamError(.policyViolation, text: text))
        }
        self.phase = .open
        var actions: [Action] = []
        if self.features.bidi, self.identity != nil, !self.isBidirectional, !self.isAuthenticated {
            self.isBidirectional = true
            actions.append(.send(ByteBuffer(staticString: "<bidi xmlns='urn:xmpp:bidi'/>")))
        }
        return actions + self.proceed()
    }

    /// How the peer's name is proved: by its certificate, else DNS led us here.
    private var peerMethod: AuthenticationMethod {
        self.identity?.judge(self.first.remote).method ?? .dialback
    }

    /// Asks and proves what is to be asked and proved.
    private mutating func proceed() -> [Action] {
        var actions: [Action] = []
        for question in self.questions {
            let verify = DialbackElement(
                .verify,
                to: question.pair.remote,
                from: question.pair.local,
                id: question.streamID,
                .key(question.key)
            )
            self.asked.append(question)
            actions.append(.send(verify.bytes))
        }
        self.questions = []
        while let pair = self.wanted.first {
            if pair == self.first, !self.hasTriedExternal, self.features.external, !self.isAuthenticated {
                self.hasTriedExternal = true
                self.phase = .saslPending
                let name = Digest.base64(Array(pair.local.utf8))
                let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>\(name)</auth>"
                return actions + [.send(ByteBuffer(string: auth))]
            }
            self.wanted.removeFirst()
            actions += self.dialBack(pair)
        }
        return actions
    }

    private mutating func dialBack(_ pair: FederationPair) -> [Action] {
        // Prosody offers dialback in the features of a stream that is secure or open alike; ejabberd 23 does not say
        // `<dialback/>` at all where its own rules want a certificate.
        guard self.features.dialback || !self.features.external else {
            return self.refuse(
                pair,
                FederationFailure(
                    .notAllowed,
                    "\(pair.remote) did not accept our certificate, nor does it dial back",
                    isFinal: true
                )
            )
        }
        self.pending.insert(pair)
        let key = self.key.key(receiving: pair.remote, originating: pair.local, streamID: self.streamID)
        return [.send(DialbackElement(.result, to: pair.remote, from: pair.local, .key(key)).bytes)]
    }

    /// A pair alone is refused, or with it the stream, if it has no other use.
    private mutating func refuse(_ pair: FederationPair, _ failure: FederationFailure) -> [Action] {
        self.steps.append("\(pair.local): \(failure.text)")
        if self.pairs.isEmpty, self.pending.isEmpty, self.wanted.isEmpty, self.asked.isEmpty {
            return self.fail(failure)
        }
        return [.refused(pair, failure)]
    }

    // MARK: - SASL EXTERNAL

    private mutating func externalSucceeded() -> [Action] {
        self.wanted.removeAll { $0 == self.first }
        self.pairs.insert(self.first)
        self.phase = .opening
        self.steps.append("SASL EXTERNAL: \(self.first.remote) took our certificate")
        return [.restart, .send(self.header()), .authenticated(self.first, peer: self.peerMethod, own: .certificate)]
    }

    private mutating func externalFailed(_ element: StreamElement) -> [Action] {
        let tree = try? element.element()
        let text = tree?.childElements.first { $0.name == "text" }?.text
        let condition = tree?.childElements.first { $0.name != "text" }?.name ?? "failure"
        self.steps.append("SASL EXTERNAL: refused (\(condition)\(text.map { ": \($0)" } ?? ""))")
        self.phase = .open
        return self.proceed()
    }

    // MARK: - Dialback

    private mutating func dialbackReceived(_ element: StreamElement) -> [Action] {
        guard let dialback = DialbackElement(element) else { return [] }
        let pair = FederationPair(local: dialback.to, remote: dialback.from)
        switch dialback.kind {
        case .result: return self.resultReceived(pair, dialback.content)
        case .verify: return self.verifyReceived(pair, dialback)
        }
    }

    private mutating func resultReceived(_ pair: FederationPair, _ content: DialbackElement.Content) -> [Action] {
        // What nobody asked for is not believed.
        guard self.pending.remove(pair) != nil else { return [] }
        switch content {
        case .key: return []
        case .valid:
            self.pairs.insert(pair)
            self.steps.append("dialback: \(pair.remote) took our key for \(pair.local)")
            return [.authenticated(pair, peer: self.peerMethod, own: .dialback)]
        case .invalid:
            let text = "\(pair.remote) could not confirm by dialback that \(pair.local) is this server"
            return self.refuse(pair, FederationFailure(.notAllowed, text, isFinal: true))
        case .error(let error):
            let said = error.text.map { " (\($0))" } ?? ""
            let text = "\(pair.remote) refused \(pair.local): \(error.condition.rawValue)\(said)"
            return self.refuse(pair, FederationFailure(.remoteServerTimeout, text, isFinal: error.type != .wait))
        }
    }

    private mutating func verifyReceived(_ pair: FederationPair, _ dialback: DialbackElement) -> [Action] {
        guard let id = dialback.id,
            let index = self.asked.firstIndex(where: { $0.pair == pair && $0.streamID == id })
        else { return [] }
        let verification: ReceivingStream.Verification
        switch dialback.content {
        case .key: return []
        case .valid: verification = .valid
        case .invalid: verification = .invalid
        case .error(let error): verification = .failed(error)
        }
        self.asked.remove(at: index)
        return [.verified(pair, streamID: id, verification)]
    }

    // MARK: - The end

    private mutating func errorReceived(_ element: StreamElement) -> [Action] {
        let error = (try? element.element()).flatMap(StreamError.init) ?? StreamError(.undefinedCondition)
        let said = error.text.map { " (\($0))" } ?? ""
        let text = "\(self.first.remote) ended the stream: \(error.condition.rawValue)\(said)"
        return self.fail(FederationFailure(Self.condition(for: error), text, isFinal: Self.isFinal(error)))
    }

    /// Whether the peer would say the same again.
    private static func isFinal(_ error: StreamError) -> Bool {
        switch error.condition {
        case .hostUnknown, .hostGone, .notAuthorized, .policyViolation, .invalidFrom, .unsupportedVersion: true
        default: false
        }
    }

    private static func condition(for error: StreamError) -> StanzaError.Condition {
        switch error.condition {
        case .hostUnknown, .hostGone: .remoteServerNotFound
        case .notAuthorized, .policyViolation, .invalidFrom: .notAllowed
        default: .remoteServerTimeout
        }
    }

    mutating func readerFailed(_ failure: StreamReader.Failure) -> [Action] {
        self.fail(
            FederationFailure(.remoteServerTimeout, "\(self.first.remote) sent what is no XMPP"),
            saying: StreamError(failure)
        )
    }

    /// The peer ended the stream without an error.
    mutating func streamClosed() -> [Action] {
        let failure = FederationFailure(
            .remoteServerTimeout,
            "\(self.first.remote) closed the stream before it was ready"
        )
        return self.close(self.isAuthenticated || self.isIdle ? nil : failure)
    }

    /// Nothing was proved in time. A stream that was opened to ask about keys has nothing to prove, and failed in nothing.
    mutating func timedOut() -> [Action] {
        if self.isIdle { return self.close(nil) }
        return self.fail(FederationFailure(.remoteServerTimeout, "\(self.first.remote) did not answer in time"))
    }

    /// Whether it is open and nobody waits for anything on it.
    private var isIdle: Bool {
        self.phase == .open && self.pending.isEmpty && self.wanted.isEmpty && self.asked.isEmpty
            && self.questions.isEmpty
    }

    /// Ends the stream; the failure is for those who wait for it.
    mutating func fail(_ failure: FederationFailure, saying error: StreamError? = nil) -> [Action] {
        self.steps.append(failure.text)
        return self.close(failure, saying: error)
    }

    /// Ends the stream as one that is needed no longer, or for a reason.
    mutating func close(_ failure: FederationFailure?, saying error: StreamError? = nil) -> [Action] {
        guard self.phase != .closing else { return [] }
        let isReadable = self.phase != .securing
        self.phase = .closing
        guard isReadable else { return [.close(failure)] }
        var buffer = ByteBuffer()
        error?.write(to: &buffer)
        StreamHeaderWriter.writeClose(to: &buffer)
        return [.send(buffer), .close(failure)]
    }
}
