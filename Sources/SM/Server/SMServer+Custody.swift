// SPDX-License-Identifier: Apache-2.0

import Config
import DequeModule
import Logging
import NIOCore
import XMPPCore

/// Custody of messages whose sender counts what is handled (XEP-0198): such a message is settled when a client of its
/// receiver has acknowledged it or when a row holds it (`docs/protocols.md` section 2).
///
/// Most are acknowledged at once and cost no write. One that is not, after a second, becomes a row of the spool while
/// it stays in the outboxes; the row goes when a client acknowledges it after all.
extension SMServer {
    /// How long a client may take to acknowledge before a row is written, in microseconds.
    private static let patience: Int64 = 1_000_000

    /// The message is in outboxes of its user.
    func takeIntoCustody(_ outgoing: Outgoing, _ delivery: DeliveryID, of user: User) {
        if let passage = outgoing.passage {
            passage.enterCustody()
            // What it was read from is not kept for it.
            passage.stanza = outgoing.stanza
        }
        user.ledger.remember(outgoing, delivery)
        custody.append(CustodyEntry(user: user, delivery: delivery, due: now() + Self.patience))
        scheduleCustody()
    }

    private func scheduleCustody() {
        guard !isCustodyScheduled, let first = custody.first else { return }
        isCustodyScheduled = true
        let wait = max(first.due - now(), 50_000)
        eventLoop.assumeIsolated().scheduleTask(in: .microseconds(wait)) { [weak self] in
            guard let self else { return }
            self.isCustodyScheduled = false
            self.storeUnacknowledged()
            self.scheduleCustody()
        }
    }

    /// Gives rows to those whose second is over.
    private func storeUnacknowledged() {
        let now = now()
        while let entry = custody.first, entry.due <= now {
            custody.removeFirst()
            guard !entry.user.isRemoved, !entry.user.isMoved,
                let outgoing = entry.user.ledger.beginWriting(entry.delivery)
            else { continue }
            store(outgoing, entry)
        }
    }

    /// The session broke: what comes from now on is stored at once, and must not be before what it holds.
    func storeUnacknowledged(of session: Session) {
        let user = session.user
        guard !user.isRemoved, !user.isMoved else { return }
        for delivery in session.outbox.entries.compactMap(\.delivery) where user.ledger.isHeldOnce(delivery) {
            guard let outgoing = user.ledger.beginWriting(delivery) else { continue }
            store(outgoing, CustodyEntry(user: user, delivery: delivery, due: now()))
        }
    }

    private func store(_ outgoing: Outgoing, _ entry: CustodyEntry) {
        let user = entry.user
        // What asks not to be stored is in memory only, as its sender wants it.
        guard configuration.sm.isEnabled(.offline), OfflinePolicy.isStored(outgoing.stanza) else {
            settle(outgoing, of: user)
            return ended(user.ledger.written(entry.delivery, row: nil, isFinal: true), outgoing, entry)
        }
        user.spool.beginWriting(outgoing.stableID)
        append(SpoolEntry(outgoing, for: user.jid), for: user, quota: .max) { result in
            user.spool.endWriting(outgoing.stableID)
            switch result {
            case .success(.stored(let row)):
                self.settle(outgoing, of: user)
                self.ended(user.ledger.written(entry.delivery, row: row, isFinal: true), outgoing, entry)
            case .success:
                // The account is gone, and with it all that was for it.
                self.settle(outgoing, of: user)
                self.ended(user.ledger.written(entry.delivery, row: nil, isFinal: true), outgoing, entry)
            case .failure:
                self.ended(user.ledger.written(entry.delivery, row: nil, isFinal: false), outgoing, entry)
            }
        }
    }

    private func ended(_ end: MessageLedger.WriteEnd, _ outgoing: Outgoing, _ entry: CustodyEntry) {
        guard !entry.user.isMoved else { return }
        switch end {
        case .held: break
        case .again:
            custody.append(CustodyEntry(user: entry.user, delivery: entry.delivery, due: now() + Self.patience))
            scheduleCustody()
        case .acknowledged(let row): row.map { deleteFromSpool([$0], of: entry.user) }
        case .orphaned(row: nil):
            entry.user.known.forget(outgoing.stableID)
            // Behind what is being read it is in its place.
            if entry.user.spool.reading == .idle {
                rehome(outgoing, row: nil, of: entry.user)
            } else {
                keep(outgoing, for: entry.user)
            }
        case .orphaned:
            entry.user.known.forget(outgoing.stableID)
            // Nobody has it now; whoever takes messages finds it in the spool.
            if let taker = entry.user.sessions.first(where: \.target.takesMessages) {
                readLater(into: taker)
                continueReading(into: taker)
            }
        }
        users.noteIfIdle(entry.user)
    }
}

/// A message in custody that has no row yet.
struct CustodyEntry {
    let user: User
    let delivery: DeliveryID
    /// When it gets one, in microseconds since 1970.
    let due: Int64
}
