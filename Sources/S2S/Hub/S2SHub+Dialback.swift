// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore

/// Keys that peers gave us, and what their authoritative servers say of them (XEP-0220 §2.3).
extension S2SHub {
    /// Asks the server that DNS names for the remote domain whether the key is its own.
    func verify(_ pair: FederationPair, key: String, streamID: String, for stream: ServerStream) {
        let question = InitiatingStream.Question(pair: pair, streamID: streamID, key: key)
        // One that was opened, or is on its way: it is asked when that can be.
        let known = self.opened[pair.remote]?.first { !$0.isClosed && !$0.isClosing }
        guard known != nil || self.mayOpen else {
            return stream.mutateReceiving { $0.verified(pair, .failed(StanzaError(.resourceConstraint, type: .wait))) }
        }
        let asking = known ?? self.open(pair)
        self.verifications[VerificationKey(pair: pair, streamID: streamID)] = Verification(
            waiting: stream,
            asking: asking
        )
        asking.lastUsed = self.eventLoop.now
        asking.mutateInitiating { $0.ask(question) }
    }

    func verified(_ pair: FederationPair, streamID: String, _ verification: ReceivingStream.Verification) {
        let key = VerificationKey(pair: pair, streamID: streamID)
        guard let found = self.verifications.removeValue(forKey: key) else { return }
        found.waiting.mutateReceiving { $0.verified(pair, verification) }
    }

    /// Who was to ask is gone, or who waited.
    func verificationsLost(of stream: ServerStream) {
        let text = stream.failure?.text ?? "its server could not be asked"
        for (key, verification) in self.verifications {
            if verification.waiting === stream {
                self.verifications[key] = nil
            } else if verification.asking === stream {
                self.verifications[key] = nil
                let error = StanzaError(.remoteServerNotFound, text: text)
                verification.waiting.mutateReceiving { $0.verified(key.pair, .failed(error)) }
            }
        }
    }
}
