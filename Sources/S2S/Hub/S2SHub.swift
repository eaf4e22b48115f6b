// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import SASL
import TLS
import XML
import XMPPCore
import XMPPStream

/// What all streams of the process share: the links to other domains, the streams by name, the operator's rules.
///
/// Confined to the process's event loop. By file: `+Links` the ways out, `+Streams` what streams tell, `+Dialback` the
/// questions to authoritative servers, `+Lists` what an administrator sees.
final class S2SHub {
    let eventLoop: any EventLoop
    let logger: Logger
    let metrics: S2SMetrics
    let key: DialbackKey
    let finder: PeerFinder
    weak var port: (any SuitePort)?
    private(set) var configuration: JackdawConfiguration.S2S
    private(set) var rules: FederationRules
    var tlsContexts = TLSContexts()
    let parsers = StreamParserCache()
    let jids = JIDCache()
    var streams: [ObjectIdentifier: ServerStream] = [:]
    /// By the name of their ledger.
    var streamsByName: [String: ServerStream] = [:]
    var links: [FederationPair: OutgoingLink] = [:]
    /// The streams that were opened to a domain, on their way included.
    var opened: [String: [ServerStream]] = [:]
    /// Lost streams that a peer may go on with, by token.
    var lostIncoming: [String: LostStream] = [:]
    /// Lost streams that we may go on with.
    var lostOutgoing: [FederationPair: LostStream] = [:]
    /// The streams that wait for the answer of an authoritative server.
    var verifications: [VerificationKey: Verification] = [:]
    /// The last refusals, for lists; at most `maximumRefusals`.
    var refusals: [String: String] = [:]
    var queuedBytes = 0
    var isDraining = false
    private var dirty: [ServerStream] = []
    /// Since when the streams wait to be written.
    private var dirtySince = NIODeadline.now()

    static let maximumRefusals = 10_000

    struct TLSContexts {
        /// Those of the listeners, by kind.
        var listening: [JackdawConfiguration.Listener.TLSMode: TLSContext] = [:]
        /// Those with which we connect.
        var connecting: [ConnectingTLS: TLSContext] = [:]
    }

    /// By our domain, whose certificate is shown, and whether TLS is direct.
    struct ConnectingTLS: Hashable {
        let domain: String
        let isDirect: Bool
    }

    /// What is kept of a stream whose connection was lost.
    struct LostStream {
        var ledger: StreamLedger
        let remote: String
        /// The pairs that were proved on it.
        let pairs: Set<FederationPair>
        var expiry: NIODeadline
    }

    struct VerificationKey: Hashable {
        let pair: FederationPair
        let streamID: String
    }

    struct Verification {
        let waiting: ServerStream
        let asking: ServerStream
    }

    init(
        configuration: JackdawConfiguration,
        key: DialbackKey,
        finder: PeerFinder,
        metrics: S2SMetrics,
        eventLoop: any EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration.s2s
        self.rules = FederationRules(configuration)
        self.key = key
        self.finder = finder
        self.metrics = metrics
        self.eventLoop = eventLoop
        self.logger = logger
    }

    /// SIGHUP. Streams that the rules do not allow any more end.
    func reload(_ configuration: JackdawConfiguration) {
        self.configuration = configuration.s2s
        self.rules = FederationRules(configuration)
        self.finder.connectTimeout = TimeAmount(configuration.s2s.timeouts.connect)
        for stream in Array(self.streams.values) where !stream.remote.isEmpty && !self.rules.allows(stream.remote) {
            stream.finish(StreamError(.policyViolation, text: "this server does not federate with \(stream.remote)"))
        }
    }

    var limits: StreamReader.Limits { self.limits(self.configuration.limits.stanzaBytes) }

    var limitsBeforeAuthentication: StreamReader.Limits {
        self.limits(self.configuration.limits.stanzaBytesBeforeAuthentication)
    }

    private func limits(_ stanzaBytes: Int) -> StreamReader.Limits {
        let limits = self.configuration.limits
        return StreamReader.Limits(
            stanzaBytes: stanzaBytes,
            depth: limits.depth,
            attributes: limits.attributes,
            nodes: limits.nodes
        )
    }

    // MARK: - TLS

    func makeTLS(for stream: ServerStream, domain: String?) throws(TLSError) -> TLSHandler {
        switch stream.machine {
        case .receiving:
            guard let context = self.tlsContexts.listening[stream.isDirectTLS ? .direct : .startTLS] else {
                throw .noCertificate
            }
            return try TLSHandler(context: context, domain: domain)
        case .initiating(let machine):
            let own = self.rules.hosted.contains(machine.first.local) ? machine.first.local : ""
            let key = ConnectingTLS(domain: own, isDirect: stream.isDirectTLS)
            guard let context = self.tlsContexts.connecting[key] else { throw .noCertificate }
            let name = BareJID.dnsName(ofPreparedDomain: machine.first.remote)
            let names = [name] + (stream.targetHost.map { [$0] } ?? [])
            let dane = stream.associations.isEmpty ? nil : DANE(associations: stream.associations, names: names)
            return try TLSHandler(context: context, domain: name, dane: dane)
        }
    }

    // MARK: - Writing

    /// Has the stream written at the end of this turn of the loop.
    func wantFlush(_ stream: ServerStream) {
        if self.dirty.isEmpty {
            self.dirtySince = .now()
            self.eventLoop.assumeIsolated().execute { self.report() }
        }
        self.dirty.append(stream)
    }

    /// The suite hears first what is about to be sent: its link is written at the end of the turn, before the streams.
    private func report() {
        self.port?.report()
        self.eventLoop.assumeIsolated().execute { self.flush() }
    }

    /// In a turn that takes so long, SMs may have given us up.
    private static let standstill = TimeAmount.milliseconds(ChannelLimits().standstill)

    private func flush() {
        let streams = self.dirty
        self.dirty.removeAll(keepingCapacity: true)
        let stoodStill = NIODeadline.now() - self.dirtySince >= Self.standstill
        for stream in streams { if stoodStill { stream.discard() } else { stream.flush() } }
    }

    // MARK: - The suite

    /// The suite is done with a stanza that `SuitePort.deliver` got.
    func settled(stream name: String, number: UInt64) {
        if let stream = self.streamsByName[name] { return stream.settled(number) }
        if let token = self.lostIncoming.first(where: { $0.value.ledger.name == name })?.key {
            self.lostIncoming[token]?.ledger.settled(number)
        } else if let pair = self.lostOutgoing.first(where: { $0.value.ledger.name == name })?.key {
            self.lostOutgoing[pair]?.ledger.settled(number)
        }
    }

    // MARK: - The regular look

    /// Once a second: what waits too long, what is idle, who is gone.
    func look(now: NIODeadline) {
        for stream in Array(self.streams.values) {
            stream.look(now: now)
            self.closeIfIdle(stream, now)
        }
        for link in Array(self.links.values) { self.look(link, now) }
        self.forgetLost(now)
        self.metrics.queuedBytes.set(self.queuedBytes)
    }

    private func closeIfIdle(_ stream: ServerStream, _ now: NIODeadline) {
        let idle = TimeAmount(self.configuration.timeouts.idle)
        guard !stream.pairs.isEmpty || stream.isInitiating, !stream.isClosing, now - stream.lastUsed >= idle,
            stream.ledger.unacknowledged.isEmpty, stream.ledger.openCount == 0
        else { return }
        stream.finish()
    }

    private func forgetLost(_ now: NIODeadline) {
        for (token, lost) in self.lostIncoming where lost.expiry <= now {
            self.lostIncoming[token] = nil
            self.gone(lost)
        }
        for (pair, lost) in self.lostOutgoing where lost.expiry <= now {
            self.lostOutgoing[pair] = nil
            self.gone(lost)
        }
    }

    /// A lost stream is not resumed any more.
    func gone(_ lost: LostStream) {
        var ledger = lost.ledger
        let text = "the link to \(lost.remote) was lost, and it was not resumed in time"
        self.inDoubt(ledger.takeUnacknowledged(), FederationFailure(.remoteServerTimeout, text))
    }

    // MARK: - The end of the process

    /// How long a stream waits at its end for the peer's acknowledgements, and then for what the peer sent to be settled.
    private static let settlementTime = TimeAmount.seconds(1)

    /// Sends nothing more; ends every stream as soon as what went over it is settled in both directions, so that nobody
    /// need wonder about it. What waits for links is left to those who handed it over.
    func drain() {
        guard !self.isDraining else { return }
        self.isDraining = true
        self.leaveWhatWaits()
        self.finish(.now() + Self.settlementTime)
    }

    private func leaveWhatWaits() {
        for link in self.links.values {
            while let outgoing = link.popFirst() {
                self.queuedBytes -= outgoing.size
                self.port?.left(outgoing.ticket, outgoing.stanza)
            }
        }
    }

    /// First the peers acknowledge, then they are read no further.
    private func finish(_ acknowledgementEnds: NIODeadline) {
        let now = NIODeadline.now()
        for stream in Array(self.streams.values) where !stream.isClosing {
            if now >= acknowledgementEnds || !stream.ledger.isOn || stream.ledger.unacknowledged.isEmpty {
                stream.isReadingOver = true
            }
            let isOver = now >= acknowledgementEnds + Self.settlementTime
            guard isOver || stream.isReadingOver && stream.ledger.openCount == 0 else { continue }
            stream.finish(StreamError(.systemShutdown))
            // What it says until it ends the stream too.
            stream.process()
        }
        guard self.streams.values.contains(where: { !$0.isClosing }) else { return }
        self.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(10)) { self.finish(acknowledgementEnds) }
    }
}
