// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import DequeModule
import Logging
import NIOCore
import XMPPCore

/// The ways out: one link for each pair of domains, over a stream that may be shared.
extension S2SHub {
    /// A stanza of ours for another domain. With a ticket, `SuitePort` hears what became of it, once.
    func send(_ stanza: Stanza, ticket: ForwardOrigin?) {
        guard let from = stanza.from?.domain, let to = stanza.to?.domain else { return self.drop(stanza, ticket) }
        let pair = FederationPair(local: from, remote: to)
        let wait = TimeAmount(self.configuration.timeouts.queue)
        let outgoing = OutgoingStanza(stanza.compacted(), pair: pair, ticket: ticket, deadline: .now() + wait)
        guard self.rules.ours.contains(from) else {
            return self.fail(outgoing, FederationFailure(.notAllowed, "\(from) is no domain of this server"))
        }
        guard !self.rules.isOurs(to) else {
            return self.fail(outgoing, FederationFailure(.remoteServerNotFound, "\(to) is a domain of this server"))
        }
        guard self.rules.allows(to) else {
            return self.fail(outgoing, FederationFailure(.notAllowed, "this server does not federate with \(to)"))
        }
        self.send(outgoing, over: self.link(for: pair))
    }

    private func send(_ outgoing: OutgoingStanza, over link: OutgoingLink) {
        if self.isDraining {
            self.port?.left(outgoing.ticket, outgoing.stanza)
            return
        }
        if case .ready(let stream) = link.state, link.queue.isEmpty, stream.carries(link.pair), self.hasRoom(stream) {
            return self.write(outgoing, to: stream)
        }
        if let last = link.lastFailure, last.failure.isFinal, .now() - last.at < Self.finalFailureLasts {
            return self.fail(outgoing, last.failure)
        }
        let limits = self.configuration.limits
        guard link.queuedBytes + outgoing.size <= limits.queueBytes,
            self.queuedBytes + outgoing.size <= limits.queueBytesTotal
        else {
            let reason = link.lastFailure.map { ": \($0.failure.text)" } ?? ""
            let text = "too much waits for the link to \(link.pair.remote)\(reason)"
            return self.fail(outgoing, FederationFailure(.resourceConstraint, text))
        }
        self.queuedBytes += outgoing.size
        link.append(outgoing)
        switch link.state {
        case .idle: self.connect(link)
        case .ready: self.drain(link)
        case .connecting, .waiting: break
        }
    }

    /// How long a failure that trying again does not mend is told without trying again.
    private static let finalFailureLasts = TimeAmount.seconds(5)

    func link(for pair: FederationPair) -> OutgoingLink {
        if let link = self.links[pair] { return link }
        let link = OutgoingLink(pair)
        self.links[pair] = link
        return link
    }

    /// What a peer has not acknowledged is kept here, so no more is sent than a queue may hold.
    private func hasRoom(_ stream: ServerStream) -> Bool {
        stream.ledger.unacknowledgedBytes < self.configuration.limits.queueBytes
            && stream.pendingBytes < self.configuration.limits.outputBytes / 2
    }

    private func write(_ outgoing: OutgoingStanza, to stream: ServerStream) {
        if let ticket = outgoing.ticket { self.port?.sent(ticket) }
        self.metrics.stanzasSent.increment()
        stream.send(outgoing)
    }

    /// Sends what waits, as far as the stream takes it.
    func drain(_ link: OutgoingLink) {
        guard case .ready(let stream) = link.state else { return }
        while stream.carries(link.pair), self.hasRoom(stream), let outgoing = link.popFirst() {
            self.queuedBytes -= outgoing.size
            self.write(outgoing, to: stream)
        }
    }

    /// The stream takes more.
    func linkMayGoOn(_ stream: ServerStream) {
        for pair in stream.pairs {
            guard let link = self.links[pair], link.stream === stream else { continue }
            self.drain(link)
        }
    }

    // MARK: - Connecting

    /// Finds a stream that carries the pair, or can be made to, or makes one. Where a lost stream of the pair is to be
    /// resumed, only a new one can do that, whatever else carries it: what was sent comes before what waits.
    func connect(_ link: OutgoingLink) {
        let pair = link.pair
        let isToBeResumed = self.lostOutgoing[pair] != nil
        if !isToBeResumed, let stream = self.streams.values.first(where: { $0.carries(pair) && !$0.isClosing }) {
            return self.ready(link, stream)
        }
        if let stream = self.opened[pair.remote]?.first(where: { self.takes(pair, $0, isToBeResumed: isToBeResumed) }) {
            link.state = .connecting(stream)
            return stream.mutateInitiating { $0.authenticate(pair) }
        }
        guard self.mayOpen else { return self.failed(link, Self.tooMany) }
        let stream = self.open(pair)
        link.state = .connecting(stream)
        stream.mutateInitiating { $0.authenticate(pair) }
    }

    /// A stream on its way whose header names the pair, or one that is there and takes further pairs.
    private func takes(_ pair: FederationPair, _ stream: ServerStream, isToBeResumed: Bool) -> Bool {
        guard case .initiating(let machine) = stream.machine, !stream.isClosed, machine.phase != .closing else {
            return false
        }
        return machine.first == pair || !isToBeResumed && machine.takesMorePairs
    }

    /// Whether another domain may be connected to: as many as may connect to us.
    var mayOpen: Bool { self.opened.count < self.configuration.limits.connections }

    static let tooMany = FederationFailure(.resourceConstraint, "this server has too many links to other servers")

    /// A new stream to the remote domain, on its way.
    func open(_ pair: FederationPair) -> ServerStream {
        let machine = InitiatingStream(rules: self.rules, key: self.key, first: pair)
        let stream = ServerStream(hub: self, .initiating(machine), now: self.eventLoop.now)
        self.opened[pair.remote, default: []].append(stream)
        self.register(stream)
        let usesDANE = self.rules.policy(for: pair.remote).dane != .off
        self.finder.connect(to: pair.remote, override: self.rules.entry(for: pair.remote), usesDANE: usesDANE) { step in
            stream.steps.append(step)
        }.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let peer): self.connected(stream, peer)
            case .failure(let error):
                let failure = error as? FederationFailure ?? FederationFailure(.remoteServerTimeout, "\(error)")
                stream.neverConnected(failure)
            }
        }
        return stream
    }

    private func connected(_ stream: ServerStream, _ peer: FoundPeer) {
        guard !stream.isClosed, !stream.isClosing else {
            peer.channel.close(promise: nil)
            return stream.neverConnected(FederationFailure(.remoteServerTimeout, "it is not needed any more"))
        }
        stream.isDirectTLS = peer.target.isDirectTLS
        stream.targetHost = peer.target.isSecure ? peer.target.host : nil
        stream.associations = peer.associations
        do {
            try peer.channel.pipeline.syncOperations.addHandler(stream)
            peer.channel.setOption(.autoRead, value: true).whenFailure { _ in peer.channel.close(promise: nil) }
        } catch {
            peer.channel.close(promise: nil)
            stream.neverConnected(FederationFailure(.remoteServerTimeout, "\(error)"))
        }
    }

    // MARK: - Outcomes

    private func ready(_ link: OutgoingLink, _ stream: ServerStream) {
        link.state = .ready(stream)
        link.failures = 0
        link.lastFailure = nil
        self.drain(link)
    }

    /// A pair is proved on a stream: what waits for it goes.
    func linkReady(_ pair: FederationPair, _ stream: ServerStream) {
        guard let link = self.links[pair], stream.carries(pair) else { return }
        // Of another stream: the lost one is resumed first.
        guard self.lostOutgoing[pair] == nil || link.stream === stream else { return }
        switch link.state {
        case .ready: break
        case .connecting(let other) where other !== stream && !other.isClosed: break
        default: self.ready(link, stream)
        }
    }

    /// A pair was refused, while its stream may go on.
    func refused(_ pair: FederationPair, _ failure: FederationFailure) {
        guard let link = self.links[pair], case .connecting = link.state else { return }
        self.failed(link, failure)
    }

    /// The try failed. What a rule forbids is told at once; else messages and presence wait for the next try, and IQs,
    /// whose senders wait for them, do not.
    func failed(_ link: OutgoingLink, _ failure: FederationFailure) {
        link.failures += 1
        link.lastFailure = (failure, .now())
        self.metrics.failures.increment()
        self.refused(link.pair.remote, failure.text)
        let told = link.take { failure.isFinal || $0.stanza.kind == .iq }
        for outgoing in told {
            self.queuedBytes -= outgoing.size
            self.fail(outgoing, failure)
        }
        guard !link.queue.isEmpty || self.hasLostStanzas(link.pair) else {
            link.state = .idle
            return
        }
        var random = SystemRandomNumberGenerator()
        let maximum = TimeAmount(self.configuration.timeouts.backoffMaximum)
        let pause = OutgoingLink.pause(failures: link.failures, maximum: maximum, using: &random)
        link.state = .waiting(until: .now() + pause)
        self.eventLoop.assumeIsolated().scheduleTask(in: pause) { self.tryAgain(link) }
    }

    /// Whether a lost stream of the pair has what is to be sent again.
    func hasLostStanzas(_ pair: FederationPair) -> Bool {
        self.lostOutgoing[pair].map { !$0.ledger.unacknowledged.isEmpty } ?? false
    }

    private func tryAgain(_ link: OutgoingLink) {
        guard case .waiting(let until) = link.state, until <= .now() + .milliseconds(1), !self.isDraining else {
            return
        }
        self.connect(link)
    }

    /// What waits too long.
    func look(_ link: OutgoingLink, _ now: NIODeadline) {
        while let first = link.queue.first, first.deadline <= now {
            _ = link.popFirst()
            self.queuedBytes -= first.size
            let reason = link.lastFailure.map { $0.failure.text } ?? "\(link.pair.remote) does not take it"
            let condition = link.lastFailure?.failure.error.condition ?? .remoteServerTimeout
            self.fail(first, FederationFailure(condition, "it waited too long: \(reason)"))
        }
        self.drain(link)
        if case .idle = link.state, link.queue.isEmpty, self.lostOutgoing[link.pair] == nil {
            // A user who writes to ever more domains must not fill the memory with what became of them.
            let memory = self.links.count > 10_000 ? Self.finalFailureLasts : .seconds(600)
            let isOld = link.lastFailure.map { now - $0.at > memory } ?? true
            if isOld { self.links[link.pair] = nil }
        }
    }

    // MARK: - What became of a stanza

    /// The peer has them.
    func acknowledged(_ stanzas: [OutgoingStanza]) {
        for stanza in stanzas {
            if let ticket = stanza.ticket { self.port?.settled(ticket) }
        }
    }

    /// Nobody knows whether the peer has them.
    func inDoubt(_ stanzas: [OutgoingStanza], _ failure: FederationFailure?) {
        guard !stanzas.isEmpty else { return }
        if self.configuration.inDoubt == .resend, !self.isDraining {
            for (pair, stanzas) in Dictionary(grouping: stanzas, by: \.pair) {
                let link = self.link(for: pair)
                link.prepend(stanzas)
                for stanza in stanzas { self.queuedBytes += stanza.size }
                if case .idle = link.state { self.connect(link) }
            }
            return
        }
        for stanza in stanzas {
            let reason = failure?.text ?? "the link to \(stanza.pair.remote) was lost"
            self.fail(stanza, FederationFailure(.remoteServerTimeout, "\(reason); it may have arrived"))
        }
    }

    /// It will not be sent.
    func fail(_ outgoing: OutgoingStanza, _ failure: FederationFailure) {
        self.metrics.bounced.increment()
        if let ticket = outgoing.ticket {
            self.port?.failed(ticket, outgoing.stanza, with: failure.error)
        } else {
            self.port?.bounce(outgoing.stanza, with: failure.error)
        }
    }

    /// Takes back what waits for its link: somebody else sends it. Gives the tickets.
    func withdraw(where isMeant: (ForwardOrigin) -> Bool) -> [ForwardOrigin] {
        var withdrawn: [ForwardOrigin] = []
        for link in self.links.values {
            for outgoing in link.take(where: { $0.ticket.map(isMeant) ?? false }) {
                self.queuedBytes -= outgoing.size
                if let ticket = outgoing.ticket { withdrawn.append(ticket) }
            }
        }
        return withdrawn
    }

    private func drop(_ stanza: Stanza, _ ticket: ForwardOrigin?) {
        self.logger.warning("dropped a stanza without addresses")
        if let ticket { self.port?.settled(ticket) }
    }
}
