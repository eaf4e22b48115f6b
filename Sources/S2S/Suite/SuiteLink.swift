// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XMPPCore

/// The suite behind the streams: SMs, which own users and hand over what is for other servers, and components at the
/// router (`docs/protocols.md`, section 5).
///
/// Confined to the event loop. What a peer sent is kept until its user's SM has settled it, and goes to the next owner
/// when the map changes or the SM is gone.
final class SuiteLink: SuitePort {
    /// A stanza for a user of ours.
    private struct Incoming {
        let stanza: Stanza
        /// Where the peer sent it; nil: it is an error of ours.
        let place: (stream: String, number: UInt64)?
        let isCounted: Bool
        /// In microseconds since 1970.
        let received = WallClock.microseconds()
    }

    private let link: InstanceLink
    private unowned let hub: S2SHub
    private let logger: Logger
    private var map = OwnershipMap.none
    private var managers: Set<String> = []
    /// The starts of the SMs' processes, of those that are gone as well.
    private var epochs: [String: String] = [:]
    /// The highest number that each SM gave a stanza, and those up to which a former process of its name gave them.
    private var lastTokens: [String: UInt64] = [:]
    private var formerTokens: [String: UInt64] = [:]
    private var incoming = ForwardedStanzas<Incoming>(after: UInt64(clamping: WallClock.microseconds()))
    private var handedOver = HandedOver()
    private var lateForwards = LateForwards()
    /// What is about to be sent of what SMs handed over, to be told at the end of this turn.
    private var sentTokens: [String: [UInt64]] = [:]
    private var isReportScheduled = false
    /// Told when the link came up or went.
    var whenLinkChanged: (Bool) -> Void = { _ in }

    init(link: InstanceLink, hub: S2SHub, logger: Logger) {
        self.link = link
        self.hub = hub
        self.logger = logger
    }

    // MARK: - From peers

    func deliver(_ stanza: Stanza, stream: String, number: UInt64, isCounted: Bool) {
        guard let to = stanza.to else { return self.hub.settled(stream: stream, number: number) }
        guard self.hub.rules.hosted.contains(to.domain) else {
            // A component's: done when the link took it.
            if !self.link.send(stanza) {
                self.answer(stanza, StanzaError(.remoteServerTimeout, type: .wait, text: "the router is not there"))
            }
            return self.settleSoon(stream, number)
        }
        let item = Incoming(stanza: stanza.compacted(), place: (stream, number), isCounted: isCounted)
        guard self.forward(item, to: to.bare) else {
            self.answer(stanza, StanzaError(.resourceConstraint, type: .wait, text: "the server is busy"))
            return self.settleSoon(stream, number)
        }
    }

    /// False at the bound.
    private func forward(_ item: Incoming, to user: BareJID) -> Bool {
        let owner = self.map.owner(of: user) ?? ""
        let size = item.stanza.encodedSize + 256
        guard self.incoming.add(item, size: size, for: .user(user), to: owner) != nil else { return false }
        self.forward()
        return true
    }

    /// Not within the call that gave the stanza.
    private func settleSoon(_ stream: String, _ number: UInt64) {
        self.hub.eventLoop.assumeIsolated().execute { self.hub.settled(stream: stream, number: number) }
    }

    /// An error for a peer's stanza.
    private func answer(_ stanza: Stanza, _ error: StanzaError) {
        guard stanza.kind != .presence, let reply = stanza.error(error) else { return }
        self.hub.send(reply, ticket: nil)
    }

    /// Sends what waits to the SMs that are there.
    private func forward() {
        while let (token, item, owner) = self.incoming.next({ self.managers.contains($0) }) {
            let forwarded = SessionMessage.Forwarded(
                token: token,
                epoch: self.map.epoch,
                id: item.place.map { "\($0.stream)-\($0.number)" } ?? "s2s-\(self.link.name)-\(token)",
                received: item.received,
                isCounted: item.isCounted,
                stanza: item.stanza
            )
            self.link.send(SessionMessage(.handover(.forwarded(forwarded))), to: owner)
        }
    }

    private func settled(_ tokens: [UInt64], by instance: String) {
        for token in tokens {
            guard let place = self.incoming.take(token, by: instance)?.place else { continue }
            self.hub.settled(stream: place.stream, number: place.number)
        }
    }

    private func failed(_ token: UInt64, _ stanza: Stanza, by instance: String) {
        guard let place = self.incoming.take(token, by: instance)?.place else { return }
        self.hub.send(stanza, ticket: nil)
        self.hub.settled(stream: place.stream, number: place.number)
    }

    // MARK: - To peers

    func sent(_ ticket: ForwardOrigin) { self.tellSent(self.handedOver.sent(ticket)) }

    private func tellSent(_ ticket: ForwardOrigin) {
        self.sentTokens[ticket.instance, default: []].append(ticket.token)
        self.scheduleReport()
    }

    func settled(_ ticket: ForwardOrigin) {
        self.tellSettled(self.handedOver.settled(ticket, now: WallClock.microseconds()))
    }

    private func tellSettled(_ ticket: ForwardOrigin) {
        self.incoming.settled(ticket)
        self.scheduleReport()
    }

    func failed(_ ticket: ForwardOrigin, _ stanza: Stanza, with error: StanzaError) {
        let ticket = self.handedOver.failed(ticket)
        guard let reply = stanza.error(error) else { return self.tellSettled(ticket) }
        guard self.isKnown(ticket) else { return self.bounce(stanza, with: error) }
        self.report()
        self.link.send(SessionMessage(.handover(.failed(token: ticket.token, stanza: reply))), to: ticket.instance)
    }

    /// The process that handed it over is there, and keeps it until it hears of it.
    private func isKnown(_ ticket: ForwardOrigin) -> Bool {
        self.managers.contains(ticket.instance) && ticket.token > self.formerTokens[ticket.instance] ?? 0
    }

    /// An SM that keeps it hands it to our successor; of another one's there is nobody else who has it.
    func left(_ ticket: ForwardOrigin?, _ stanza: Stanza) {
        if let ticket, self.isKnown(self.handedOver.newest(ticket)) { return }
        let text = "this server stopped before it could be sent"
        self.bounce(stanza, with: StanzaError(.remoteServerTimeout, type: .wait, text: text))
    }

    /// Whether the SMs have settled all that they were forwarded.
    var isSettled: Bool { self.incoming.isEmpty }

    func bounce(_ stanza: Stanza, with error: StanzaError) {
        guard stanza.kind != .presence, let reply = stanza.error(error), let to = reply.to else { return }
        guard self.hub.rules.hosted.contains(to.domain) else {
            _ = self.link.send(reply)
            return
        }
        _ = self.forward(Incoming(stanza: reply, place: nil, isCounted: false), to: to.bare)
    }

    /// What goes to sockets in this turn is told before: so an SM knows of what a process that was killed had begun.
    func report() {
        for (instance, tokens) in self.sentTokens where self.managers.contains(instance) {
            self.link.send(SessionMessage(.handover(.sent(tokens))), to: instance)
        }
        for (instance, tokens) in self.incoming.takeDue() where self.managers.contains(instance) {
            self.link.send(SessionMessage(.handover(.settled(tokens))), to: instance)
        }
        self.sentTokens = [:]
    }

    private func scheduleReport() {
        guard !self.isReportScheduled else { return }
        self.isReportScheduled = true
        self.hub.eventLoop.assumeIsolated().execute {
            self.isReportScheduled = false
            self.report()
        }
    }

    // MARK: - From SMs

    private func received(_ handover: SessionMessage.Handover, from instance: String) {
        switch handover {
        case .map(let map):
            guard map.epoch > self.map.epoch else { return }
            self.map = map
            self.lateForwards.mapChanged(to: map)
            self.incoming.mapChanged(to: map)
            self.forward()
        case .forwarded(let forwarded):
            self.lastTokens[instance] = max(self.lastTokens[instance] ?? 0, forwarded.token)
            self.received(forwarded, ticket: ForwardOrigin(instance: instance, token: forwarded.token))
        case .settled(let tokens): self.settled(tokens, by: instance)
        case .failed(let token, let stanza): self.failed(token, stanza, by: instance)
        case .presented, .released, .passport, .unacknowledged, .wanted, .unknown, .taken, .state, .sent: break
        }
    }

    private func received(_ forwarded: SessionMessage.Forwarded, ticket: ForwardOrigin) {
        guard !self.lateForwards.isLate(forwarded, from: ticket.instance) else {
            return self.logger.notice(
                "dropped a stanza of an SM that was evicted meanwhile",
                metadata: ["peer": "\(ticket.instance)", "id": "\(forwarded.id)"]
            )
        }
        switch self.handedOver.received(forwarded, ticket: ticket) {
        case .new: self.hub.send(forwarded.stanza, ticket: ticket)
        case .waits: break
        case .isOnTheWire: self.tellSent(ticket)
        case .isSettled: self.tellSettled(ticket)
        }
    }

    /// The SM lives, and its channel began anew: it takes us for another process, and gives what we had not begun to send
    /// to whom it finds, maybe to another S2S. So it is not ours any more. Of an SM that is gone nobody else may have it.
    private func beganAnew(_ instance: String) {
        let withdrawn = self.hub.withdraw { self.handedOver.newest($0).instance == instance }
        for ticket in withdrawn { _ = self.handedOver.failed(ticket) }
    }

    private func lost(_ instance: String) {
        self.managers.remove(instance)
        self.sentTokens[instance] = nil
        // Nothing of a user's is ever on a wire.
        _ = self.incoming.lost(instance)
    }
}

extension SuiteLink: InstanceLinkDelegate {
    func linkUp(_ link: InstanceLink) { self.whenLinkChanged(true) }

    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance) {
        guard instance.kind == .internal, InstanceName(routerName: instance.name)?.kind == .sm else { return }
        if self.managers.contains(instance.name) { self.lost(instance.name) }
        if self.epochs.updateValue(instance.epoch, forKey: instance.name) == instance.epoch {
            self.beganAnew(instance.name)
        } else {
            self.formerTokens[instance.name] = self.lastTokens[instance.name]
        }
        self.managers.insert(instance.name)
        self.forward()
    }

    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance) {
        if self.managers.contains(instance.name) { self.lost(instance.name) }
    }

    func linkInstancesComplete(_ link: InstanceLink) {}

    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String) {
        guard case .handover(let handover) = message.content, self.managers.contains(instance) else { return }
        self.received(handover, from: instance)
    }

    /// A component's, for another server; or a bounce of the router of what a peer sent to a component.
    func link(_ link: InstanceLink, received stanza: Stanza) { self.hub.send(stanza, ticket: nil) }

    func link(_ link: InstanceLink, down failure: LinkFailure) { self.whenLinkChanged(false) }
}
