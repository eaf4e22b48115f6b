// SPDX-License-Identifier: Apache-2.0

import Config
import DequeModule
import Logging
import XMPPCore

/// The bounds of what is kept until clients acknowledge it: beside that of each session, one for a user (four times as
/// much) and one for the process.
extension SMServer {
    /// What a session may keep in any case: those who keep little do not pay for the others.
    private static let fairShare = 64 << 10

    private func isOver(_ user: User, adding bytes: Int = 0) -> Bool {
        user.kept.bytes + bytes > 4 * configuration.sm.limits.unacknowledgedBytes
    }

    private func isOver(adding bytes: Int = 0) -> Bool {
        kept.bytes + bytes > configuration.sm.limits.unacknowledgedBytesTotal
    }

    /// Whether so much more for a user is too much.
    func isMemoryShort(for user: User, adding bytes: Int = 0) -> Bool {
        isOver(adding: bytes) || isOver(user, adding: bytes)
    }

    /// Ends sessions, whose messages go to the spool: broken ones, the oldest first; of a user without any the one that
    /// keeps most. False when this session is the one that is to end.
    func makeRoom(for session: Session, adding bytes: Int) -> Bool {
        // What the end of one session causes must not end the next one, before the first one's bytes are free.
        guard !isMakingRoom else { return true }
        let user = session.user
        isMakingRoom = true
        defer { isMakingRoom = false }
        while isOver(user, adding: bytes), let victim = victim(of: user) {
            guard victim !== session else { return false }
            endOverflowing(victim)
        }
        while isOver(adding: bytes), let (broken, since) = brokenSessions.popFirst() {
            if broken.state == .broken(since: since), broken !== session { endOverflowing(broken) }
        }
        return !isOver(adding: bytes) || session.outbox.bytes < Self.fairShare
    }

    private func victim(of user: User) -> Session? {
        if let broken = user.sessions.first(where: { !$0.isAttached && $0.outbox.count > 0 }) { return broken }
        let largest = user.sessions.max { $0.outbox.bytes < $1.outbox.bytes }
        return largest.flatMap { $0.outbox.bytes < Self.fairShare ? nil : $0 }
    }

    /// The session reads on from the spool when there may be memory for it; called by a timer.
    func feedStarved() {
        let due = starved
        starved = []
        for session in due { continueReading(into: session) }
    }
}
