// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XMPPCore

/// A local account while it is in memory: as long as it has sessions or work, and a little after.
///
/// Confined to the server's event loop.
final class User {
    let jid: BareJID
    var roster: Roster
    var blocklist: Blocklist
    /// How the ids of messages to it begin (XEP-0359).
    let stanzaIDStart: ByteBuffer
    /// In the order in which they were opened.
    private(set) var sessions: [Session] = []
    /// Which messages are in the outboxes of which sessions.
    var ledger = MessageLedger() {
        didSet {
            kept.add(ledger.bytes - countedBytes)
            countedBytes = ledger.bytes
        }
    }
    /// What is kept for its sessions' clients.
    let kept: KeptBytes
    private var countedBytes = 0
    var spool = SpoolState()
    /// Changes of the roster, one after the other.
    let rosterChanges = ChangeQueue()
    /// When it was last needed, in microseconds since 1970.
    var lastNeeded: Int64 = 0
    /// Whether `UserTable` looks at it again to forget it.
    var isNoted = false
    /// The account was removed: nothing is written any more.
    var isRemoved = false
    /// Another SM owns the user now: nothing is settled, written or told any more.
    var isMoved = false
    /// What may come again from those who had it before us.
    var known = KnownMessages()

    init(jid: BareJID, roster: Roster, blocklist: Blocklist, kept: KeptBytes) {
        self.jid = jid
        self.stanzaIDStart = StanzaIDs.start(by: jid)
        self.roster = roster
        self.blocklist = blocklist
        self.kept = kept
    }

    /// Whether nothing of this sender reaches the user (XEP-0191 §3.3): also what was taken before it was blocked.
    func blocks(_ from: JID?) -> Bool {
        guard !blocklist.isEmpty, let from, from.bare != jid else { return false }
        return blocklist.blocks(from)
    }

    /// The JID of the account as an address.
    var address: JID { JID(jid) }

    func session(resource: String) -> Session? {
        sessions.first { $0.resource == resource }
    }

    func insert(_ session: Session) {
        sessions.append(session)
    }

    func remove(_ session: Session) {
        sessions.removeAll { $0 === session }
    }

    var availableSessions: [Session] { sessions.filter(\.isAvailable) }

    /// The sessions as the delivery rules see them.
    var targets: [DeliveryTarget] { sessions.map(\.target) }

    /// Nothing keeps it in memory.
    var isIdle: Bool { sessions.isEmpty && spool.isIdle && rosterChanges.isEmpty }
}
