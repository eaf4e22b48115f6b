// SPDX-License-Identifier: Apache-2.0

import Config
import DequeModule
import Logging
import NIOCore
import SASL
import XML
import XMPPCore
import XMPPStream

/// Where stream management stands on a stream.
enum ManagementPhase: Equatable {
    case off
    /// We asked the peer to count.
    case enabling
    /// We asked the peer to go on with a stream that was lost; stanzas wait.
    case resuming
    case on

    /// Stanzas wait for the answer.
    var isPending: Bool { self == .resuming }
}

/// XEP-0198 (version 1.6.3) between servers: whoever opened the stream asks for it, and both count.
extension ServerStream {
    func managementReceived(_ element: StreamElement) {
        switch element.name {
        case "r" where self.ledger.isOn:
            _ = self.ledger.report()
            self.send(ManagementElement.acknowledgement(h: self.ledger.handled))
        case "a" where self.ledger.isOn: self.acknowledgementReceived(element)
        case "enable": self.enableReceived(element)
        case "resume": self.resumeReceived(element)
        case "enabled" where self.management == .enabling: self.enabledReceived(element)
        case "resumed" where self.management == .resuming: self.resumedReceived(element)
        case "failed": self.failedReceived(element)
        default: self.finish(StreamError(.undefinedCondition, text: "\(element.name) without stream management"))
        }
    }

    private static func h(_ element: StreamElement) -> UInt32? { element["h"].flatMap { UInt32($0) } }

    private func acknowledgementReceived(_ element: StreamElement) {
        guard let h = Self.h(element) else { return self.finish(StreamError(.badFormat)) }
        self.acknowledge(h)
        self.hub.linkMayGoOn(self)
        self.wantFlush()
    }

    /// False: it is more than was sent, and the stream ends.
    @discardableResult
    private func acknowledge(_ h: UInt32) -> Bool {
        let before = self.ledger.acknowledged
        guard let done = self.ledger.acknowledgementReceived(h) else {
            let sent = before &+ UInt32(clamping: self.ledger.unacknowledged.count)
            let count = Element(
                "handled-count-too-high",
                Namespace.streamManagement,
                attributes: ["h": String(h), "send-count": String(sent)]
            )
            self.finish(StreamError(.undefinedCondition, application: count))
            return false
        }
        self.hub.acknowledged(done)
        return true
    }

    // MARK: - We are asked

    private func enableReceived(_ element: StreamElement) {
        guard case .receiving = self.machine, !self.pairs.isEmpty, !self.ledger.isOn else {
            return self.send(ManagementElement.failed(.unexpectedRequest))
        }
        let seconds = UInt32(clamping: self.hub.configuration.timeouts.resumption.components.seconds)
        let isResumable = ManagementElement.isResumable(element) && seconds > 0
        let token = isResumable ? Digest.randomName() : nil
        self.ledger.enable(token: token, seconds: seconds)
        self.management = .on
        self.hub.countsAnew(self)
        self.send(ManagementElement.enabled(token: token, max: seconds))
    }

    /// The peer goes on with a stream that it lost. It must have proved anew what that stream was for.
    private func resumeReceived(_ element: StreamElement) {
        guard case .receiving = self.machine, !self.pairs.isEmpty, !self.ledger.isOn, let h = Self.h(element) else {
            return self.send(ManagementElement.failed(.unexpectedRequest))
        }
        guard let token = element["previd"], let lost = self.hub.takeLost(token, for: self) else {
            return self.send(ManagementElement.failed(.itemNotFound))
        }
        self.adopt(lost)
        self.management = .on
        self.ledger.resumed()
        guard self.acknowledge(h) else { return }
        _ = self.ledger.report()
        self.send(ManagementElement.resumed(h: self.ledger.handled, token: token))
        self.resend()
    }

    /// The stream goes on with another ledger.
    private func adopt(_ ledger: StreamLedger) {
        let former = self.ledger.name
        self.ledger = ledger
        self.hub.renamed(self, from: former)
    }

    /// What the peer does not have, in order.
    private func resend() {
        for stanza in self.ledger.unacknowledged { self.write { stanza.stanza.write(to: &$0) } }
        self.logger.info(
            "a stream was resumed",
            metadata: ["remote": "\(self.remote)", "again": "\(self.ledger.unacknowledged.count)"]
        )
    }

    // MARK: - We ask

    /// The features after the authentication say whether the peer counts.
    func featuresMayHaveCome(_ element: StreamElement) {
        guard self.isInitiating, element.namespace == Namespace.streams, element.name == "features" else { return }
        self.beginManagement()
        self.becomeReady()
    }

    /// What waits for the proved pairs goes, if this is the time.
    private func becomeReady() {
        for pair in self.pairs { self.hub.linkReady(pair, self) }
        self.hub.linkMayGoOn(self)
    }

    /// Asks the peer to count as soon as that can be: a pair is proved, and it was offered.
    func beginManagement() {
        guard case .initiating(let machine) = self.machine, machine.phase == .open, !machine.pairs.isEmpty,
            machine.features.streamManagement, self.management == .off
        else { return }
        if let lost = self.hub.takeLost(for: machine.first) {
            self.adopt(lost)
            self.management = .resuming
            self.send(ManagementElement.resume(h: lost.handled, token: lost.token ?? ""))
        } else {
            self.enable()
        }
    }

    private func enable() {
        self.management = .enabling
        self.send(ManagementElement.enable(canResume: self.hub.configuration.timeouts.resumption > .zero))
        // What is sent from here on counts, whatever its answer is (XEP-0198 §3).
        self.ledger.enableOutbound()
    }

    private func enabledReceived(_ element: StreamElement) {
        self.management = .on
        self.ledger.countInbound(
            token: ManagementElement.isResumable(element) ? element["id"] : nil,
            seconds: element["max"].flatMap { UInt32($0) }
        )
    }

    private func resumedReceived(_ element: StreamElement) {
        guard let h = Self.h(element) else { return self.finish(StreamError(.badFormat)) }
        self.management = .on
        self.ledger.resumed()
        guard self.acknowledge(h) else { return }
        self.resend()
        self.becomeReady()
    }

    private func failedReceived(_ element: StreamElement) {
        switch self.management {
        case .resuming:
            // It may say how far it came all the same.
            if let h = Self.h(element) { self.acknowledge(h) }
            let doubtful = self.ledger.takeUnacknowledged()
            self.adopt(StreamLedger())
            let text = "the link to \(self.remote) was lost, and \(self.remote) does not know what it had received"
            self.hub.inDoubt(doubtful, FederationFailure(.remoteServerTimeout, text))
            self.management = .off
            self.enable()
            self.becomeReady()
        case .enabling:
            // It does not count: what was written is done with.
            self.management = .on
            self.ledger.disable()
            self.hub.acknowledged(self.ledger.takeUnacknowledged())
        case .off, .on: break
        }
    }
}
