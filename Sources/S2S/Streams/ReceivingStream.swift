// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import SASL
import XML
import XMPPCore
import XMPPStream

/// A stream that another server opened: negotiation as the receiving entity (RFC 6120, XEP-0178, XEP-0220, XEP-0288).
///
/// A pure value. Events are its methods, what is to be done they give back; who calls it keeps the order. What comes
/// after the negotiation, stanzas and their acknowledgements, it judges (`stanzaFault`) and leaves to its caller.
struct ReceivingStream {
    enum Action {
        case send(ByteBuffer)
        /// What is read from now on is TLS.
        case startTLS(domain: String)
        /// The peer opens the stream anew.
        case restart
        /// The authoritative server of the remote domain is to be asked for this key; `verified` takes the answer.
        case verify(FederationPair, key: String, streamID: String)
        case authenticated(FederationPair, AuthenticationMethod)
        /// Close when the peer has ended its stream, or does not.
        case close(StreamError?)
    }

    enum Phase: Equatable {
        /// The header is awaited.
        case opening
        case open
        case securing
        case closing
    }

    let rules: FederationRules
    let key: DialbackKey
    /// Bytes of one stanza.
    let maximumBytes: Int
    /// Pairs that may be authenticated on one stream.
    let maximumPairs: Int
    private(set) var phase = Phase.opening
    private(set) var identity: PeerIdentity?
    /// What the header says: whom it is for, and from whom it is, if it says so.
    private(set) var local: String?
    private(set) var remote: String?
    private(set) var streamID = ""
    private(set) var pairs: [FederationPair: AuthenticationMethod] = [:]
    /// The peer takes stanzas on this stream as well.
    private(set) var isBidirectional = false
    private var verifications: Set<FederationPair> = []
    /// The peer has asked us about a key: maybe it came for that alone.
    private var hasVouched = false
    private var isHeaderSent = false
    private var hasVersion = true

    init(rules: FederationRules, key: DialbackKey, maximumBytes: Int, maximumPairs: Int) {
        self.rules = rules
        self.key = key
        self.maximumBytes = maximumBytes
        self.maximumPairs = maximumPairs
    }

    var isAuthenticated: Bool { !self.pairs.isEmpty }

    // MARK: - The header

    /// The peer opened the stream; `id` is a fresh random one.
    mutating func streamOpened(_ header: StreamHeader, id: String) -> [Action] {
        self.streamID = id
        self.isHeaderSent = false
        let validation = StreamHeaderValidation(contentNamespace: Namespace.server, domains: self.rules.ours)
        var header = header
        // A peer of before RFC 3920 knows dialback alone.
        self.hasVersion = header["version"] != nil
        if !self.hasVersion { header.attributes.append(TagAttribute(name: "version", value: "1.0")) }
        let opening: StreamHeaderValidation.Opening
        do throws(StreamHeaderFault) {
            opening = try validation.validate(header)
        } catch {
            return self.fail(self.error(for: error, header))
        }
        self.local = opening.to
        if let from = opening.from {
            guard from.isBare, from.local == nil else { return self.fail(StreamError(.improperAddressing)) }
            if let known = self.remote, self.isAuthenticated, known != from.domain {
                return self.fail(StreamError(.invalidFrom, text: "the stream is \(known)'s"))
            }
            self.remote = from.domain
            if let refusal = self.rules.refusal(ofRemote: from.domain) { return self.fail(refusal) }
        }
        self.phase = .open
        var buffer = self.header()
        if self.hasVersion { self.features.write(to: &buffer) }
        return [.send(buffer)]
    }

    private func error(for fault: StreamHeaderFault, _ header: StreamHeader) -> StreamError {
        guard fault == .hostUnknown else { return fault.streamError }
        return StreamError(.hostUnknown, text: "\(header["to"] ?? "") is not served here")
    }

    private mutating func header() -> ByteBuffer {
        self.isHeaderSent = true
        var buffer = ByteBuffer()
        StreamHeaderWriter.server(id: self.streamID, from: self.local, to: self.remote).write(to: &buffer)
        return buffer
    }

    /// What is offered now.
    var features: ServerFeatures {
        var features = ServerFeatures()
        let policy = self.remote.map(self.rules.policy)
        let needsTLS = (policy?.tls ?? .required) == .required
        features.maximumBytes = self.maximumBytes
        if self.identity == nil {
            features.startTLS = true
            features.isTLSRequired = needsTLS
        } else {
            features.external =
                !self.isAuthenticated && self.certificateVerdict?.method != nil
                && self.remote.map(self.rules.believesCertificate) == true
            features.bidi = !self.isAuthenticated
            features.streamManagement = true
        }
        features.dialback = (self.identity != nil || !needsTLS)
        return features
    }

    private var certificateVerdict: CertificateVerdict? {
        guard let identity, let remote else { return nil }
        return identity.judge(remote)
    }

    // MARK: - TLS

    mutating func handshakeCompleted(_ identity: PeerIdentity) -> [Action] {
        self.identity = identity
        self.phase = .opening
        return []
    }

    // MARK: - Elements

    /// An element that is neither a stanza nor of stream management.
    mutating func elementReceived(_ element: StreamElement) -> [Action] {
        guard self.phase == .open else { return [] }
        switch element.namespace {
        case Namespace.tls: return self.startTLSReceived(element)
        case Namespace.sasl: return self.saslReceived(element)
        case DialbackElement.namespace: return self.dialbackReceived(element)
        case ServerFeatures.bidiNamespace where element.name == "bidi":
            // Before the pair is proved, and under TLS, as it was offered.
            guard self.features.bidi else { return [] }
            self.isBidirectional = true
            return []
        case Namespace.streams where element.name == "error":
            return self.close(nil)
        default:
            return self.fail(StreamError(.unsupportedStanzaType, text: "\(element.name) is not known here"))
        }
    }

    private mutating func startTLSReceived(_ element: StreamElement) -> [Action] {
        guard element.name == "starttls" else { return self.fail(StreamError(.unsupportedStanzaType)) }
        // What was learnt before TLS does not count after it (RFC 6120 §5.4.3.3), so that nothing may be proved by then.
        let isFresh = self.pairs.isEmpty && self.verifications.isEmpty
        guard self.identity == nil, isFresh, self.hasVersion, let local else {
            let failure = ByteBuffer(staticString: "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            return [.send(failure)] + self.close(nil)
        }
        self.phase = .securing
        let proceed = ByteBuffer(staticString: "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        return [.send(proceed), .startTLS(domain: local), .restart]
    }

    /// XEP-0178 §3: the identity is that of the header, or none is said.
    private mutating func saslReceived(_ element: StreamElement) -> [Action] {
        guard element.name == "auth" else { return self.saslFailure("malformed-request", nil) }
        guard element["mechanism"] == "EXTERNAL" else { return self.saslFailure("invalid-mechanism", nil) }
        guard let local, let remote, self.identity != nil, !self.isAuthenticated else {
            return self.saslFailure("not-authorized", "there is no name to prove")
        }
        guard let verdict = self.certificateVerdict, let method = verdict.method else {
            let reason = self.certificateVerdict?.reason ?? ""
            return self.saslFailure("not-authorized", "the certificate of \(remote) \(reason)")
        }
        let text = (try? element.element())?.text ?? ""
        guard text == "=" || text.isEmpty || Self.name(text) == remote else {
            return self.saslFailure("invalid-authzid", nil)
        }
        guard self.rules.believesCertificate(ofClient: remote) else {
            return self.saslFailure("invalid-mechanism", nil)
        }
        if let objection = self.rules.objection(to: self.identity, of: remote, method: method, isClient: true) {
            return self.saslFailure("not-authorized", "\(remote) \(objection)")
        }
        let pair = FederationPair(local: local, remote: remote)
        self.pairs[pair] = method
        self.phase = .opening
        let success = ByteBuffer(staticString: "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        return [.send(success), .restart, .authenticated(pair, method)]
    }

    private static func name(_ text: String) -> String? {
        guard let bytes = Digest.base64Decode(text) else { return nil }
        return (try? JID(String(decoding: bytes, as: UTF8.self)))?.domain
    }

    private func saslFailure(_ condition: String, _ text: String?) -> [Action] {
        var buffer = ByteBuffer(string: "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><\(condition)/>")
        if let text {
            buffer.writeStaticString("<text xml:lang='en'>")
            XMLEscape.writeText(text, to: &buffer)
            buffer.writeStaticString("</text>")
        }
        buffer.writeStaticString("</failure>")
        return [.send(buffer)]
    }

    // MARK: - Dialback

    private mutating func dialbackReceived(_ element: StreamElement) -> [Action] {
        guard let dialback = DialbackElement(element) else { return self.fail(StreamError(.improperAddressing)) }
        switch (dialback.kind, dialback.content) {
        case (.verify, .key(let key)): return self.verify(dialback, key)
        case (.result, .key(let key)): return self.prove(dialback, key)
        default:
            // Who did not ask must not believe it (CVE-2012-3525).
            return self.fail(StreamError(.policyViolation, text: "nobody asked for this answer"))
        }
    }

    /// We are the authoritative server of `to`: is the key ours?
    private mutating func verify(_ dialback: DialbackElement, _ key: String) -> [Action] {
        self.hasVouched = true
        var answer = DialbackElement(.verify, to: dialback.from, from: dialback.to, id: dialback.id, .invalid)
        if !self.rules.ours.contains(dialback.to) {
            answer.content = .error(StanzaError.itemNotFound)
        } else if let id = dialback.id,
            self.key.isGood(key, receiving: dialback.from, originating: dialback.to, streamID: id)
        {
            answer.content = .valid
        }
        return [.send(answer.bytes)]
    }

    /// The peer wants to prove a domain.
    private mutating func prove(_ dialback: DialbackElement, _ key: String) -> [Action] {
        let pair = FederationPair(local: dialback.to, remote: dialback.from)
        if let refusal = self.rules.refusal(ofRemote: pair.remote) { return self.fail(refusal) }
        guard self.rules.ours.contains(pair.local) else {
            return [self.result(pair, .error(StanzaError(.itemNotFound, text: "\(pair.local) is not served here")))]
        }
        let isKnown = self.pairs[pair] != nil || self.verifications.contains(pair)
        guard isKnown || self.pairs.count + self.verifications.count < self.maximumPairs else {
            return [self.result(pair, .error(StanzaError(.resourceConstraint, type: .wait)))]
        }
        let verdict = self.identity?.judge(pair.remote)
        let method = verdict?.method ?? .dialback
        if let objection = self.rules.objection(to: self.identity, of: pair.remote, method: method, isClient: true) {
            return self.fail(StreamError(.policyViolation, text: "\(pair.remote) \(objection)"))
        }
        if self.remote == nil { self.remote = pair.remote }
        // XEP-0220 §2.6: the certificate says what the question would bring out.
        if let method = verdict?.method, self.rules.believesCertificate(ofClient: pair.remote) {
            self.pairs[pair] = method
            return [self.result(pair, .valid), .authenticated(pair, method)]
        }
        guard self.verifications.insert(pair).inserted else { return [] }
        return [.verify(pair, key: key, streamID: self.streamID)]
    }

    /// What the authoritative server said of the key.
    enum Verification: Equatable {
        case valid
        case invalid
        /// It could not be asked, or would not say.
        case failed(StanzaError)
    }

    mutating func verified(_ pair: FederationPair, _ verification: Verification) -> [Action] {
        guard self.verifications.remove(pair) != nil, self.phase == .open else { return [] }
        switch verification {
        case .valid:
            self.pairs[pair] = .dialback
            return [self.result(pair, .valid), .authenticated(pair, .dialback)]
        case .invalid:
            // XEP-0220 §2.1.2: the stream of who lied ends.
            let error = StreamError(.notAuthorized, text: "the key is not \(pair.remote)'s")
            return [self.result(pair, .invalid)] + self.fail(error)
        case .failed(let error):
            return [self.result(pair, .error(error))]
        }
    }

    private func result(_ pair: FederationPair, _ content: DialbackElement.Content) -> Action {
        .send(DialbackElement(.result, to: pair.remote, from: pair.local, content).bytes)
    }

    // MARK: - Stanzas

    /// What is wrong with the addresses of a stanza; the stream ends with it (RFC 6120 §8.1.2.2, §4.9.3).
    func fault(to: String?, from: String?) -> StreamError? {
        guard let to, let from else { return StreamError(.improperAddressing, text: "'to' and 'from' are needed") }
        if self.pairs[FederationPair(local: to, remote: from)] != nil { return nil }
        guard self.isAuthenticated else { return StreamError(.notAuthorized, text: "no domain is proved yet") }
        guard self.pairs.keys.contains(where: { $0.remote == from }) else {
            return StreamError(.invalidFrom, text: "\(from) is not proved on this stream")
        }
        guard self.rules.ours.contains(to) else { return StreamError(.hostUnknown, text: "\(to) is not served here") }
        return StreamError(.notAuthorized, text: "\(from) is not proved to \(to) on this stream")
    }

    // MARK: - The end

    /// The reader refused what came.
    mutating func readerFailed(_ failure: StreamReader.Failure) -> [Action] {
        self.fail(StreamError(failure))
    }

    mutating func streamClosed() -> [Action] { self.close(nil) }

    /// Nothing was proved in time. Who came to ask about keys has nothing to prove, and failed in nothing.
    mutating func timedOut() -> [Action] {
        if self.phase == .open, self.hasVouched, self.verifications.isEmpty { return self.close(nil) }
        return self.fail(StreamError(.connectionTimeout, text: "no domain was proved in time"))
    }

    /// Ends the stream with an error; what is read from now on does not count.
    mutating func fail(_ error: StreamError) -> [Action] { self.close(error) }

    /// Ends the stream, with an error or without.
    mutating func close(_ error: StreamError?) -> [Action] {
        guard self.phase != .closing else { return [] }
        // TLS has no place for words before its handshake.
        guard self.phase != .securing else {
            self.phase = .closing
            return [.close(error)]
        }
        var buffer = self.isHeaderSent ? ByteBuffer() : self.header()
        self.phase = .closing
        error?.write(to: &buffer)
        StreamHeaderWriter.writeClose(to: &buffer)
        return [.send(buffer), .close(error)]
    }
}

extension StreamHeaderWriter {
    /// The header of a stream between servers.
    static func server(id: String? = nil, from: String?, to: String?) -> StreamHeaderWriter {
        StreamHeaderWriter(
            contentNamespace: Namespace.server,
            id: id,
            from: from,
            to: to,
            language: "en",
            prefixes: [TagAttribute(name: "db", value: DialbackElement.namespace)]
        )
    }
}
