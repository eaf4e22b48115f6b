// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Logging
import NIOCore
import XMPPCore

/// Messages that need the database while it is away.
///
/// A sender that counts (XEP-0198) keeps a message until it is settled, so it waits here and is tried again: the
/// acknowledgement comes when the database is back. Others are told to try again later, as are all past the bound.
extension SMServer {
    private static let retryInterval = TimeAmount.seconds(1)

    /// The message cannot be stored, or its receiver cannot be loaded, now.
    func postpone(_ passage: Passage) {
        guard passage.stanza.kind == .message, passage.isCounted, let user = passage.stanza.to?.bare,
            postponed.append(passage)
        else { return replyError(to: passage, .databaseAway) }
        passage.hold()
        postponedUsers.insert(user)
        schedulePostponed()
    }

    /// What comes for a user behind a message that waits must not overtake it.
    func mustWait(_ passage: Passage) -> Bool {
        guard !postponedUsers.isEmpty, passage.stanza.kind == .message, let user = passage.stanza.to?.bare else {
            return false
        }
        return postponedUsers.contains(user)
    }

    private func schedulePostponed() {
        guard !isPostponedScheduled else { return }
        isPostponedScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.retryInterval) {
            self.isPostponedScheduled = false
            self.retryPostponed()
        }
    }

    func retryPostponed() {
        var due = postponed
        postponed = PassageQueue()
        postponedUsers = []
        while let passage = due.popFirst() {
            routeLocally(passage)
            passage.release()
        }
    }
}
