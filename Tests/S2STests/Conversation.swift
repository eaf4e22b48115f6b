// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOCore
import TLS
import XML
import XMPPCore

@testable import S2S

/// An initiating and a receiving machine that talk to each other, their bytes through real readers and no socket between.
final class Conversation {
    static let initiator = "a.example"
    static let receiver = "b.example"
    static let pair = FederationPair(local: initiator, remote: receiver)

    var initiating: InitiatingStream
    var receiving: ReceivingStream
    /// What happened, a line each: `> authenticated …` of who began, `< …` of who answers.
    private(set) var log: [String] = []
    /// What the initiator's TLS says of the receiver's certificate, and the other way round.
    var ofReceiver = CertificateVerdict.proved(.certificate)
    var ofInitiator = CertificateVerdict.proved(.certificate)
    /// What the authoritative server says of keys; nil: what the initiator's machine would.
    var authority: ReceivingStream.Verification?
    /// The bytes that the receiver sent, as text.
    private(set) var heard: [String] = []
    private let toReceiver = Conversation.reader()
    private let toInitiator = Conversation.reader()
    private var ids = 0
    /// Bytes on their way, and whose they are: nothing arrives before all is done that was to be done at once.
    private var underWay: [(isToReceiver: Bool, ByteBuffer)] = []
    /// Whether the initiator's machine hears the receiver; a test speaks in its place.
    private var isInitiatorThere = false
    private var isReceiverThere = false

    init(
        initiator: (inout JackdawConfiguration) -> Void = { _ in },
        receiver: (inout JackdawConfiguration) -> Void = { _ in }
    ) {
        self.initiating = InitiatingStream(
            rules: Self.rules(Self.initiator, initiator),
            key: DialbackKey(secret: "the initiator's"),
            first: Self.pair
        )
        self.receiving = ReceivingStream(
            rules: Self.rules(Self.receiver, receiver),
            key: DialbackKey(secret: "the receiver's"),
            maximumBytes: 100_000,
            maximumPairs: 3
        )
    }

    static func rules(_ domain: String, _ change: (inout JackdawConfiguration) -> Void = { _ in }) -> FederationRules {
        var configuration = JackdawConfiguration()
        configuration.domains = [HostedDomain(name: domain), HostedDomain(name: "also.\(domain)")]
        change(&configuration)
        return FederationRules(configuration)
    }

    private static func reader() -> StreamReader {
        StreamReader(trust: .foreign, contentNamespaces: [Namespace.server])
    }

    /// Opens the stream and lets both go as far as they come.
    @discardableResult
    func run() -> [String] {
        self.isInitiatorThere = true
        self.isReceiverThere = true
        self.did(self.initiating.authenticate(Self.pair))
        self.did(self.initiating.start())
        self.pump()
        return self.log
    }

    /// Lets what is said arrive.
    func pump() {
        while !self.underWay.isEmpty {
            let (isToReceiver, buffer) = self.underWay.removeFirst()
            if isToReceiver { self.receive(buffer) } else { self.hear(buffer) }
        }
    }

    /// Says something to the receiver in the initiator's place.
    @discardableResult
    func say(_ text: String) -> [String] {
        let before = self.log.count
        self.isReceiverThere = true
        self.underWay.append((true, ByteBuffer(string: text)))
        self.pump()
        return Array(self.log[before...])
    }

    /// Says something to the initiator in the receiver's place.
    @discardableResult
    func answer(_ text: String) -> [String] {
        let before = self.log.count
        self.isInitiatorThere = true
        self.underWay.append((false, ByteBuffer(string: text)))
        self.pump()
        return Array(self.log[before...])
    }

    // MARK: - The receiver's side

    private func receive(_ buffer: ByteBuffer) {
        guard self.isReceiverThere else { return }
        self.toReceiver.receive(buffer)
        do {
            while let event = try self.toReceiver.next() {
                switch event {
                case .streamOpened(let header):
                    self.ids += 1
                    self.did(self.receiving.streamOpened(header, id: "id-\(self.ids)"))
                case .element(let element): self.did(self.receiving.elementReceived(element))
                case .streamClosed: self.did(self.receiving.streamClosed())
                case .route: break
                }
            }
        } catch {
            self.did(self.receiving.readerFailed(error))
        }
    }

    func did(_ actions: [ReceivingStream.Action]) {
        for action in actions {
            switch action {
            case .send(let buffer): self.underWay.append((false, buffer))
            case .startTLS, .restart: self.toReceiver.reset()
            case .verify(let pair, let key, let id): self.verify(pair, key, id)
            case .authenticated(let pair, let method):
                self.log.append("< authenticated \(pair.remote) to \(pair.local) by \(method.rawValue)")
            case .close(let error):
                self.log.append("< closed \(error.map { "\($0.condition.rawValue): \($0.text ?? "")" } ?? "")")
            }
        }
    }

    private func verify(_ pair: FederationPair, _ key: String, _ id: String) {
        let isGood = self.initiating.key.isGood(key, receiving: pair.local, originating: pair.remote, streamID: id)
        let verification = self.authority ?? (isGood ? .valid : .invalid)
        self.did(self.receiving.verified(pair, verification))
    }

    // MARK: - The initiator's side

    private func hear(_ buffer: ByteBuffer) {
        self.heard.append(String(buffer: buffer))
        guard self.isInitiatorThere else { return }
        self.toInitiator.receive(buffer)
        do {
            while let event = try self.toInitiator.next() {
                switch event {
                case .streamOpened(let header): self.did(self.initiating.streamOpened(header))
                case .element(let element): self.did(self.initiating.elementReceived(element))
                case .streamClosed: self.did(self.initiating.streamClosed())
                case .route: break
                }
            }
        } catch {
            self.did(self.initiating.readerFailed(error))
        }
    }

    func did(_ actions: [InitiatingStream.Action]) {
        for action in actions {
            switch action {
            case .send(let buffer): self.underWay.append((true, buffer))
            case .startTLS: self.secure()
            case .restart: self.toInitiator.reset()
            case .authenticated(let pair, let peer, let own):
                self.log.append("> authenticated \(pair.local) by \(own.rawValue), \(pair.remote) by \(peer.rawValue)")
            case .refused(let pair, let failure): self.log.append("> refused \(pair.local): \(failure.text)")
            case .verified(let pair, let id, let verification):
                self.log.append("> verified \(pair.remote) \(id) \(verification)")
            case .close(let failure): self.log.append("> closed \(failure?.text ?? "")")
            }
        }
    }

    private func secure() {
        let (ofReceiver, ofInitiator) = (self.ofReceiver, self.ofInitiator)
        self.toInitiator.reset()
        self.did(self.receiving.handshakeCompleted(Self.identity(ofInitiator)))
        self.did(self.initiating.handshakeCompleted(Self.identity(ofReceiver)))
    }

    static func identity(_ verdict: CertificateVerdict) -> PeerIdentity {
        PeerIdentity(tlsVersion: "TLSv1.3", cipher: "X", certificate: nil, judge: { _ in verdict })
    }
}
