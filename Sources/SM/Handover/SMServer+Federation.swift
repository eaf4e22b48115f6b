// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import DequeModule
import Logging
import NIOCore
import XMPPCore

/// Stanzas for other servers: an S2S has the link for each pair of domains, and each stanza is kept here until that has
/// settled it (`docs/protocols.md`, section 5).
extension SMServer {
    /// How long the sender's acknowledgement waits for the other server's, in microseconds. From then on two processes
    /// have the stanza, and one of them answers for it: the acknowledgements of a client do not wait for a server that is
    /// away.
    private static let federationPatienceTime: Int64 = 1_000_000

    /// The pair whose link takes the stanza; nil: it is for a component, or there is no S2S and was none for long.
    func federationPair(of passage: Passage) -> FederationPair? {
        guard !federation.instances.isEmpty, let to = passage.stanza.to?.domain,
            let from = passage.stanza.from?.domain, hosted.contains(from), !isComponent(to)
        else { return nil }
        return FederationPair(local: from, remote: to)
    }

    /// Whether a component of ours serves the domain, or ought to.
    private func isComponent(_ domain: String) -> Bool {
        instances[domain] != nil || JackdawConfiguration.isInternal(domain)
            || configuration.components.contains { $0.names.contains(domain) }
    }

    /// False: nobody takes it.
    func forwardOutside(_ passage: Passage, _ pair: FederationPair) -> Bool {
        guard let owner = federation.owner(of: pair.key) else { return false }
        let size = passage.stanza.encodedSize + 256
        guard keepForFederation(passage, pair, size: size, owner: owner) else {
            refuseForwarded(passage)
            return true
        }
        passage.handOver()
        passage.stanza = passage.stanza.compacted()
        if passage.isCounted {
            federationPatience.append((passage, now() + Self.federationPatienceTime))
            scheduleFederationPatience()
        }
        sendForwarded()
        return true
    }

    /// False at the bound.
    private func keepForFederation(_ passage: Passage, _ pair: FederationPair, size: Int, owner: String) -> Bool {
        let pinned = forwarded.instance(pinnedFor: pair).flatMap { instances[$0] == nil ? nil : $0 }
        guard let pinned, pinned != owner, instances[owner] != nil, forwarded.mayHold(pair) else {
            return forwarded.add(passage, size: size, for: .federation(pair), to: pinned ?? owner) != nil
        }
        scheduleEndOfHolds()
        return forwarded.hold(passage, size: size, for: pair, to: owner) != nil
    }

    /// How long stanzas wait at most until another S2S has settled what it has of their pair.
    private static let holdTime = TimeAmount.seconds(1)

    private func scheduleEndOfHolds() {
        guard !isEndOfHoldsScheduled else { return }
        isEndOfHoldsScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.holdTime) { [weak self] in
            guard let self else { return }
            self.isEndOfHoldsScheduled = false
            self.forwarded.endHolds()
            self.sendForwarded()
        }
    }

    private func scheduleFederationPatience() {
        guard !isFederationPatienceScheduled, let first = federationPatience.first else { return }
        isFederationPatienceScheduled = true
        let wait = max(first.due - now(), 50_000)
        eventLoop.assumeIsolated().scheduleTask(in: .microseconds(wait)) { [weak self] in
            guard let self else { return }
            self.isFederationPatienceScheduled = false
            // Without an S2S nobody else has what waits: its senders wait with it.
            guard self.isFederationThere else {
                for index in self.federationPatience.indices {
                    self.federationPatience[index].due = self.now() + Self.federationPatienceTime
                }
                return self.scheduleFederationPatience()
            }
            while let (passage, due) = self.federationPatience.first, due <= self.now() {
                self.federationPatience.removeFirst()
                passage.endHandover()
            }
            self.scheduleFederationPatience()
        }
    }

    private var isFederationThere: Bool { instances.keys.contains(where: \.isFederation) }

    /// An S2S is there, or is gone. When the last one is gone, stanzas wait for its return as long as for a server that
    /// is away: it may just be starting anew.
    func federationChanged() {
        if isFederationThere {
            federation = OwnershipMap(epoch: 1, instances: instances.keys.filter(\.isFederation))
            giveBack(forwarded.federationChanged(federation))
            sendForwarded()
        } else if !federation.instances.isEmpty {
            awaitFederation(for: configuration.s2s.timeouts.queue)
        }
    }

    private func giveUpFederation(after wait: Duration) {
        let microseconds = wait.components.seconds * 1_000_000
        guard !isFederationThere, now() - federationAwaitedSince >= microseconds else { return }
        federation = .none
        giveBack(forwarded.federationChanged(federation))
    }

    /// How long stanzas wait for the first S2S after our own start, at most.
    private static let federationStartTime = Duration.seconds(30)

    /// Our processes start together: where an S2S is to be there, what comes before it is waits for it, as for one that
    /// starts anew.
    func awaitFederation() {
        let count = configuration.supervisor.s2s
        guard count > 0, federation.instances.isEmpty else { return }
        let names = (1...count).map { InstanceName(kind: .s2s, number: $0).routerName }
        federation = OwnershipMap(epoch: 1, instances: names)
        awaitFederation(for: min(configuration.s2s.timeouts.queue, Self.federationStartTime))
    }

    private func awaitFederation(for wait: Duration) {
        federationAwaitedSince = now()
        eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { [weak self] in
            self?.giveUpFederation(after: wait)
        }
    }

    /// The process stops, and nobody has these but we: who was told that they are settled gets an error, which is kept as
    /// messages are. Of the others their senders' C2S have them, and give them to our successor.
    func failWaitingForFederation() {
        // One that is away may come back, but not before we are gone: the suite stops S2S first.
        for instance in instances.keys where instance.isFederation && !link.hasWay(to: instance) {
            reportInDoubt(forwarded.lost(instance))
        }
        for passage in forwarded.takeWaitingForFederation() where !passage.comesAgain {
            let text = "this server stopped before it could be sent"
            replyError(to: passage, StanzaError(.remoteServerTimeout, type: .wait, text: text))
            passage.endHandover()
        }
    }

    private func giveBack(_ passages: [Passage]) {
        for passage in passages {
            replyError(to: passage, StanzaError(.remoteServerTimeout, type: .wait, text: "federation is not running"))
            passage.endHandover()
        }
    }

    /// An S2S is gone that had begun to send these, and they are not to be sent again.
    func reportInDoubt(_ passages: [Passage]) {
        for passage in passages {
            let text = "the link to \(passage.stanza.to?.domain ?? "") was lost; it may have arrived"
            replyError(to: passage, StanzaError(.remoteServerTimeout, text: text))
            passage.endHandover()
        }
    }
}
