// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XMPPCore

/// What streams tell the hub.
extension S2SHub {
    /// A peer connected; nil: there is no room.
    func accept(isDirectTLS: Bool, address: String) -> ServerStream? {
        let limits = self.configuration.limits
        guard !self.isDraining, self.streams.count < limits.connections else { return nil }
        let incoming = self.streams.values.filter { !$0.isInitiating }
        guard incoming.count(where: { $0.ipAddress == address }) < limits.connectionsPerAddress,
            incoming.count(where: { $0.pairs.isEmpty }) < limits.unauthenticatedConnections
        else { return nil }
        let machine = ReceivingStream(
            rules: self.rules,
            key: self.key,
            maximumBytes: limits.stanzaBytes,
            maximumPairs: limits.pairs
        )
        let stream = ServerStream(hub: self, .receiving(machine), now: self.eventLoop.now)
        stream.isDirectTLS = isDirectTLS
        stream.ipAddress = address
        self.register(stream)
        return stream
    }

    func register(_ stream: ServerStream) {
        self.streams[ObjectIdentifier(stream)] = stream
        self.streamsByName[stream.ledger.name] = stream
    }

    /// A stanza of a peer, judged.
    func received(_ stanza: Stanza, number: UInt64, on stream: ServerStream) {
        guard let port else { return }
        port.deliver(stanza, stream: stream.ledger.name, number: number, isCounted: stream.ledger.isCountingInbound)
    }

    /// The stream has another ledger. What is still being settled of the former one is nobody's to report.
    func renamed(_ stream: ServerStream, from former: String) {
        self.streamsByName[former] = nil
        self.streamsByName[stream.ledger.name] = stream
    }

    func authenticated(_ stream: ServerStream, _ pair: FederationPair) {
        self.metrics.authenticated.increment()
        self.refusals[pair.remote] = nil
        if stream.isInitiating { stream.beginManagement() }
        let soon = NIODeadline.now() + Self.resumptionBesideAnother
        for (token, lost) in self.lostIncoming where lost.pairs.contains(pair) {
            self.lostIncoming[token]?.expiry = min(lost.expiry, soon)
        }
        self.linkReady(pair, stream)
    }

    /// A peer that is within reach goes on with a stream that it lost as soon as that, or never: its process is gone.
    private static let resumptionBesideAnother = TimeAmount.seconds(5)

    /// The peer has us count anew on a stream of its: it does not go on with those of the same pairs that it lost. Nobody
    /// knows what of our stanzas on them has arrived, and their senders are not to wait for that.
    func countsAnew(_ stream: ServerStream) {
        for (token, lost) in self.lostIncoming
        where !lost.pairs.isDisjoint(with: stream.pairs) {
            self.lostIncoming[token] = nil
            self.gone(lost)
        }
    }

    /// A peer was refused, or could not be reached, for lists. Any other refusal makes room for it.
    func refused(_ remote: String, _ reason: String) {
        guard !remote.isEmpty else { return }
        if self.refusals[remote] == nil, self.refusals.count >= Self.maximumRefusals {
            self.refusals.remove(at: self.refusals.startIndex)
        }
        self.refusals[remote] = reason
    }

    /// The stream is about to end: nothing new is given to it.
    func closing(_ stream: ServerStream) {
        for link in self.links.values where link.stream === stream { self.leave(link, stream) }
        self.verificationsLost(of: stream)
        if stream.context == nil { stream.neverConnected(stream.failure) }
    }

    /// The connection is gone.
    func ended(_ stream: ServerStream) {
        let id = ObjectIdentifier(stream)
        guard self.streams.removeValue(forKey: id) != nil else { return }
        if self.streamsByName[stream.ledger.name] === stream { self.streamsByName[stream.ledger.name] = nil }
        if stream.isInitiating {
            self.opened[stream.remote]?.removeAll { $0 === stream }
            if self.opened[stream.remote]?.isEmpty == true { self.opened[stream.remote] = nil }
        }
        self.keep(stream)
        for link in self.links.values where link.stream === stream { self.leave(link, stream) }
        self.verificationsLost(of: stream)
    }

    /// What can be resumed is kept for that; of the rest nobody knows what arrived.
    private func keep(_ stream: ServerStream) {
        guard stream.ledger.isOn else { return }
        let seconds = min(
            Int64(stream.ledger.resumptionSeconds ?? .max),
            self.configuration.timeouts.resumption.components.seconds
        )
        let pairs = Set(stream.pairs)
        let isBesideAnother = !stream.isInitiating && self.streams.values.contains { !pairs.isDisjoint(with: $0.pairs) }
        let time = TimeAmount.seconds(seconds)
        let expiry = NIODeadline.now() + (isBesideAnother ? min(time, Self.resumptionBesideAnother) : time)
        var ledger = stream.ledger
        ledger.suspended()
        let lost = LostStream(ledger: ledger, remote: stream.remote, pairs: pairs, expiry: expiry)
        let isResumable =
            stream.ledger.token != nil && seconds > 0 && !stream.isClosing && !self.isDraining
            && self.lostIncoming.count + self.lostOutgoing.count < self.configuration.limits.connections
        switch stream.machine {
        case .receiving where isResumable:
            self.lostIncoming[stream.ledger.token ?? ""] = lost
        case .initiating(let machine) where isResumable && machine.pairs.count == 1:
            // Further pairs would have to be proved anew before what was theirs could be sent again.
            self.lostOutgoing[machine.first] = lost
        default:
            self.inDoubt(ledger.takeUnacknowledged(), stream.failure)
        }
    }

    private func leave(_ link: OutgoingLink, _ stream: ServerStream) {
        let isWanted = !link.queue.isEmpty || self.hasLostStanzas(link.pair)
        switch link.state {
        case .connecting:
            let text = "the connection to \(link.pair.remote) was lost before the stream was ready"
            self.failed(link, stream.failure ?? FederationFailure(.remoteServerTimeout, text))
        case .ready where isWanted && !self.isDraining:
            // It was good until now: the first try comes soon.
            self.failed(link, stream.failure ?? FederationFailure(.remoteServerTimeout, "the link was lost"))
        case .ready: link.state = .idle
        case .idle, .waiting: break
        }
    }

    // MARK: - Resumption

    /// The ledger of a lost stream that the peer opened; nil: there is none, or it has not proved what that one was for.
    func takeLost(_ token: String, for stream: ServerStream) -> StreamLedger? {
        let proved = Set(stream.pairs)
        // A connection that the peer takes for lost may still be there.
        let former = self.streams.values.first { $0 !== stream && !$0.isInitiating && $0.ledger.token == token }
        if let former {
            guard former.ledger.mayGoOn(of: Set(former.pairs), with: proved) else { return nil }
            former.abort(FederationFailure(.remoteServerTimeout, "the stream goes on over another connection"))
            self.ended(former)
        }
        guard let lost = self.lostIncoming[token], lost.ledger.mayGoOn(of: lost.pairs, with: proved) else { return nil }
        self.lostIncoming[token] = nil
        return lost.ledger
    }

    func takeLost(for pair: FederationPair) -> StreamLedger? {
        self.lostOutgoing.removeValue(forKey: pair)?.ledger
    }
}
