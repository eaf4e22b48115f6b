// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Logging
import NIOCore
import XMPPCore

/// Stanzas for users of other SMs (`docs/protocols.md`, section 5). Each is kept until its owner has settled it.
extension SMServer {
    /// The stanza is for a user whom another SM owns.
    func forward(_ passage: Passage, to user: BareJID) {
        guard let owner = map.owner(of: user), passage.origin == nil else {
            // Of another SM: it learns of the new map, and sends it again.
            if passage.origin == nil { replyError(to: passage, StanzaError(.remoteServerTimeout, type: .wait)) }
            return
        }
        let size = passage.stanza.encodedSize + 256
        guard forwarded.add(passage, size: size, for: .user(user), to: owner) != nil else {
            return refuseForwarded(passage)
        }
        passage.handOver()
        passage.stanza = passage.stanza.compacted()
        sendForwarded()
    }

    func refuseForwarded(_ passage: Passage) {
        if passage.stanza.kind != .presence { replyError(to: passage, .overloaded) }
    }

    /// Sends what waits for SMs that are there.
    func sendForwarded() {
        let me = link.instanceName
        while let (token, passage, owner) = forwarded.next({ $0 == me || instances[$0] != nil }) {
            guard owner != me else {
                if let passage = forwarded.take(token, by: owner) {
                    passage.hold()
                    passage.endHandover()
                    routeLocally(passage)
                    passage.release()
                }
                continue
            }
            let stanza = SessionMessage.Forwarded(
                token: token,
                epoch: map.epoch,
                id: passage.stableID,
                received: passage.received,
                isCounted: passage.isCounted,
                stanza: passage.stanza
            )
            link.send(SessionMessage(.handover(.forwarded(stanza))), to: owner)
        }
    }

    /// A stanza for a user of ours.
    func received(_ stanza: SessionMessage.Forwarded, from instance: String) {
        // One for a user who is not ours any more is sent again by its sender, under the new map.
        guard let to = stanza.stanza.to?.bare, owns(to) else { return }
        // What is left of the time before an eviction comes again, behind what was dropped with it.
        guard stanza.epoch > evictedUnder else { return }
        // No link but a C2S speaks for our domains, and another SM for what a C2S gave it.
        guard instance.isOwner || stanza.stanza.from.map({ !hosted.contains($0.domain) }) ?? false else {
            return logger.error(
                "dropped a stanza from outside with an address of ours",
                metadata: ["peer": "\(instance)"]
            )
        }
        let passage = Passage(
            stanza.stanza,
            origin: ForwardOrigin(instance: instance, token: stanza.token),
            stableID: stanza.id,
            isCounted: stanza.isCounted,
            received: stanza.received,
            settlesAt: self
        )
        hold(for: to, .passage(passage)) { server in
            server.routeLocally(passage)
            passage.release()
        }
    }

    func forwardedSettled(_ tokens: [UInt64], by instance: String) {
        for token in tokens { forwarded.take(token, by: instance)?.endHandover() }
        // What waited for these.
        sendForwarded()
    }

    /// The owner answered with an error, which from here on is ours to keep.
    func forwardedFailed(_ token: UInt64, _ stanza: Stanza, by instance: String) {
        guard let passage = forwarded.take(token, by: instance) else { return }
        answer(passage, withError: stanza)
        passage.endHandover()
        sendForwarded()
    }

    /// Tells other SMs what is settled of theirs.
    func reportForwarded() {
        for (instance, tokens) in forwarded.takeDue() {
            link.send(SessionMessage(.handover(.settled(tokens))), to: instance)
        }
    }

    /// Reports at the end of this turn, if no burst does it before.
    func scheduleForwardedReport() {
        guard !reportIsScheduled else { return }
        reportIsScheduled = true
        eventLoop.assumeIsolated().execute { self.sendReports() }
    }
}
