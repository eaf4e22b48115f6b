// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Daemon
import DequeModule
import Logging
import NIOCore
import XMPPCore
import XMPPStream

/// Users who are ours no longer: what is in memory only is written, sessions without connection are passed on, and the
/// new owners are told when that is done (`docs/protocols.md`, section 5).
extension SMServer {
    func release(under map: OwnershipMap) {
        let leaving = users.all.filter { map.owner(of: $0.jid) != link.instanceName }
        let waiting = leaving.flatMap { passOn($0, under: map) }
        users.stopLoading { map.owner(of: $0) != link.instanceName }
        for passage in waiting {
            sendOn(passage)
            passage.release()
        }
        let epoch = map.epoch
        releasesUnderWay += 1
        let writes = write(lastWrites(of: leaving)) { outgoing in
            // Where the next map came before the write, the new owner has to take it.
            if let passage = outgoing.passage { self.sendOn(passage) }
        }
        writes.assumeIsolated().whenComplete { _ in
            self.releasesUnderWay -= 1
            self.releasedEpoch = max(self.releasedEpoch, epoch)
            for instance in self.instances.keys { self.tellReleased(to: instance) }
            self.endTakeoverIfHeard()
        }
    }

    /// Another SM need not wait for us, if it is so.
    func tellReleased(to instance: String) {
        guard instance.isOwner, releasedEpoch == map.epoch, areInstancesKnown else { return }
        link.send(SessionMessage(.handover(.released(epoch: map.epoch))), to: instance)
    }

    /// A stanza that is not settled here. Another SM sends it again by itself, and so does the C2S of a session that has
    /// left with its user.
    func sendOn(_ passage: Passage) {
        let comesAgain = passage.origin != nil || passage.session?.state == .ended
        if comesAgain { passage.abandon() } else { routeLocally(passage) }
        passage.leaveCustody()
    }

    /// The user's sessions end here without a word: their C2S present them to the new owner. Those that nobody has are
    /// presented by us. Gives the stanzas that waited for others to be settled.
    @discardableResult
    func passOn(_ user: User, under map: OwnershipMap) -> [Passage] {
        user.isMoved = true
        users.remove(user.jid)
        let owner = map.owner(of: user.jid)
        for session in user.sessions {
            sessions[session.name] = nil
            session.expiry?.cancel()
            session.expiry = nil
            if !session.isAttached {
                metrics.brokenSessions.decrement()
                if let owner, session.resumption?.token != nil { present(session, to: owner) }
            }
            session.state = .ended
        }
        sessionsChanged()
        return user.known.takeWaiting()
    }

    private func present(_ session: Session, to owner: String) {
        let say = { (content: SessionMessage.Content) in
            _ = self.link.send(SessionMessage(session: session.name, attach: session.attach, content), to: owner)
        }
        let outbox = session.outbox
        let passport = SessionMessage.Passport(
            jid: session.jid,
            address: session.address,
            tls: session.tls,
            mechanism: session.mechanism,
            management: SessionMessage.Management(
                token: session.resumption?.token,
                max: session.resumption?.seconds,
                base: session.countsFrom,
                settled: session.settlement.run,
                acknowledged: outbox.acknowledged,
                sent: outbox.lastSent,
                // Their senders may send them again.
                lately: session.user.known.latest(Self.idsTold)
            ),
            received: session.settlement.run,
            state: SessionState(of: session).encoded
        )
        say(.handover(.passport(passport)))
        for (index, entry) in outbox.wire.enumerated() {
            let number = outbox.acknowledged + UInt64(index) + 1
            let id = entry.delivery == nil || entry.payload.stableID.isEmpty ? nil : entry.payload.stableID
            let age = max(0, now() - entry.payload.received)
            say(.handover(.unacknowledged(.init(number: number, id: id, age: age, stanza: entry.payload.stanza))))
        }
        say(.detached)
    }

    /// The database says that we own nobody any more: others do, and have what we had.
    func evicted() {
        logger.error("other instances took this one for dead: it begins anew")
        for user in users.all {
            user.isMoved = true
            // Their senders have it, and hear of the next owner.
            for outgoing in user.spool.takeUnderWay() { outgoing.passage?.abandon() }
            for session in user.sessions {
                sessions[session.name] = nil
                session.expiry?.cancel()
                session.expiry = nil
                if !session.isAttached { metrics.brokenSessions.decrement() }
                session.state = .ended
            }
        }
        evictedUnder = map.epoch
        map = OwnershipMap(epoch: map.epoch, instances: [])
        users.removeAll()
        sessionsChanged()
        takeover = nil
        heldWork.removeAll()
        heldReaders.removeAll()
        arrivals.removeAll()
        waitingResumptions.removeAll()
        // What its sender was told to be settled, and another server does not have yet, nobody sends again.
        forwarded.keepAlone { passage, target in
            if case .federation = target { !passage.comesAgain } else { false }
        }
    }
}
