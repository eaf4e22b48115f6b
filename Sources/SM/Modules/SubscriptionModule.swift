// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// RFC 6121 §3: presence subscriptions, both ways; requests that wait are told at each login.
final class SubscriptionModule: SMModule {
    private unowned let server: SMServer
    private let changes: RosterChanges

    init(_ server: SMServer, _ changes: RosterChanges) {
        self.server = server
        self.changes = changes
    }

    var points: ChainPoints { [.presenceFromClient, .presenceToUser] }

    func fromClient(_ passage: Passage, session: Session) -> Verdict {
        guard let type = passage.stanza.type.flatMap(SubscriptionStanza.init(rawValue:)) else { return .pass }
        // §3.1.1: without an address there is nobody to ask.
        guard let contact = passage.stanza.to?.bare else { return .error(.badRequest) }
        guard contact != session.user.jid else { return .handled }
        return queue(passage, session.user) { completion in
            self.changes.sent(type, to: contact, passage.stanza, of: session.user, completion)
        }
    }

    func toUser(_ passage: Passage, user: User) -> Verdict {
        guard let type = passage.stanza.type.flatMap(SubscriptionStanza.init(rawValue:)) else {
            return followChanges(passage, user)
        }
        guard let contact = passage.stanza.from?.bare, contact != user.jid else { return .handled }
        return queue(passage, user) { completion in
            self.changes.received(type, from: contact, passage.stanza, of: user, completion)
        }
    }

    /// §3.1.6: a client learns of its contact's approval, by the stanza and the roster push, before it gets the
    /// presence that follows; while the approval is still being written, that waits.
    private func followChanges(_ passage: Passage, _ user: User) -> Verdict {
        guard passage.stanza.type == nil || passage.stanza.type == "unavailable", !user.rosterChanges.isEmpty else {
            return .pass
        }
        passage.hold()
        let isQueued = user.rosterChanges.run { done in
            self.server.deliver(passage, to: user)
            passage.release()
            done()
            self.server.users.noteIfIdle(user)
        }
        guard isQueued else {
            passage.release()
            return .pass
        }
        return .handled
    }

    func sessionAvailable(_ session: Session) {
        // After the changes that are under way: an answer that the last session gave counts.
        let isQueued = session.user.rosterChanges.run { done in
            self.tellRequests(to: session)
            done()
        }
        if !isQueued { tellRequests(to: session) }
    }

    private func tellRequests(to session: Session) {
        guard session.isAvailable else { return }
        for request in session.user.roster.requests {
            guard let stanza = SpoolCodec.decode(request.stanza), !session.user.blocks(stanza.from) else { continue }
            server.send(stanza, to: session)
        }
    }

    /// One change of a roster at a time; the stanza is settled when it is committed or refused.
    private func queue(
        _ passage: Passage,
        _ user: User,
        _ work: @escaping (@escaping RosterChanges.Completion) -> Void
    ) -> Verdict {
        passage.hold()
        let isQueued = user.rosterChanges.run { done in
            work { error in
                if let error { self.server.replyError(to: passage, error) }
                passage.release()
                done()
                self.server.users.noteIfIdle(user)
            }
        }
        guard isQueued else {
            passage.release()
            return .error(.overloaded)
        }
        return .handled
    }
}
