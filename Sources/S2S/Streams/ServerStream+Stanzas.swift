// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XML
import XMPPCore
import XMPPStream

/// Stanzas of the peer (RFC 6120 §8): judged by the domains that it proved, numbered, and given to the suite.
extension ServerStream {
    func stanzaReceived(_ element: StreamElement) {
        let stanza: Stanza
        do throws(StanzaFault) {
            stanza = try Stanza(element, jids: self.hub.jids)
        } catch {
            return self.finish(StreamError(.improperAddressing, text: "an address is malformed"))
        }
        if let fault = self.fault(stanza) {
            self.logger.notice(
                "a stanza ended its stream",
                metadata: [
                    "remote": "\(self.remote)", "from": "\(stanza.from?.description ?? "")",
                    "to": "\(stanza.to?.description ?? "")", "reason": "\(fault.condition.rawValue)",
                ]
            )
            return self.finish(fault)
        }
        self.lastUsed = self.hub.eventLoop.now
        let (number, isNew) = self.ledger.stanzaReceived()
        // Had before the connection was lost: it is being settled.
        guard isNew else { return self.wantReport() }
        self.hub.metrics.stanzasReceived.increment()
        self.hub.received(stanza, number: number, on: self)
    }

    /// What the peer said before it heard that we end the stream: what it acknowledges need not be in doubt.
    ///
    /// A stanza that counts is left to the peer: we can acknowledge nothing any more, so that it sends it again.
    func lateElementReceived(_ element: StreamElement) {
        if element.namespace == Namespace.streamManagement, element.name == "a" {
            return self.managementReceived(element)
        }
        guard element.namespace == Namespace.server, Stanza.Kind(rawValue: element.name) != nil,
            !self.ledger.isCountingInbound, !self.hub.isDraining
        else { return }
        self.stanzaReceived(element)
    }

    private func fault(_ stanza: Stanza) -> StreamError? {
        let to = stanza.to?.domain
        let from = stanza.from?.domain
        switch self.machine {
        case .receiving(let machine): return machine.fault(to: to, from: from)
        case .initiating(let machine):
            guard let to, let from else { return StreamError(.improperAddressing, text: "'to' and 'from' are needed") }
            // The peer may send here what it was told it may, for the pairs that this stream was opened for.
            guard machine.isBidirectional else { return StreamError(.notAuthorized, text: "this stream goes one way") }
            let isProved = machine.pairs.contains(FederationPair(local: to, remote: from))
            return isProved ? nil : StreamError(.invalidFrom, text: "\(from) is not proved on this stream")
        }
    }

    /// The suite is done with a stanza of the peer.
    func settled(_ number: UInt64) {
        self.ledger.settled(number)
        self.wantReport()
        self.process()
    }

    /// `<a/>` goes out at the end of the turn, when the run has grown.
    func wantReport() {
        guard !self.isClosing, let h = self.ledger.report() else { return }
        self.send(ManagementElement.acknowledgement(h: h))
    }
}
