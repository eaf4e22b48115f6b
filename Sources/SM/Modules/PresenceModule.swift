// SPDX-License-Identifier: Apache-2.0

import Config
import XML
import XMPPCore

/// RFC 6121 §4: presence: initial, broadcast, directed and unavailable presence, and probes both ways. Subscriptions
/// (§3) are `RosterModule`'s, which is asked before.
final class PresenceModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var points: ChainPoints { [.presenceFromClient, .presenceToUser] }

    // MARK: - From a client

    func fromClient(_ passage: Passage, session: Session) -> Verdict {
        let stanza = passage.stanza
        // What is told to every contact is multiplied by them.
        if stanza.to == nil, stanza.encodedSize > server.configuration.sm.limits.presenceBytes {
            return .error(StanzaError(.policyViolation, type: .modify, text: "the presence is too large"))
        }
        switch (stanza.type, stanza.to) {
        case (nil, nil): available(passage, session)
        case ("unavailable", nil): unavailable(stanza, session)
        case (nil, let to?): return directed(to, session)
        case ("unavailable", let to?):
            session.directed.remove(to)
            return .pass
        case ("error", nil): break
        case ("error", _), ("probe", _?): return .pass
        default: return .error(.badRequest)
        }
        return .handled
    }

    /// §4.2 and §4.4.
    private func available(_ passage: Passage, _ session: Session) {
        let isInitial = !session.isAvailable
        let tookMessages = session.target.takesMessages
        let presence = passage.stanza.compacted()
        session.presence = presence
        session.priority = Self.priority(in: passage.children)
        session.farewell = nil
        broadcast(presence, of: session.user)
        let takesMessages = session.target.takesMessages
        if takesMessages, !tookMessages { server.takeOver(session) }
        if isInitial {
            introduceOthers(to: session)
            probeContacts(of: session)
            for module in server.chain.modules { module.sessionAvailable(session) }
        }
        guard session.state != .ended, takesMessages != tookMessages else { return }
        if takesMessages {
            server.readSpool(into: session)
        } else {
            server.stopReading(into: session)
        }
    }

    /// §4.7.2.3: an integer between -128 and 127; what is none counts as 0.
    static func priority(in children: [Element]) -> Int8 {
        let element = children.first { $0.name == "priority" && $0.namespace == Namespace.client }
        return element.flatMap { Int8($0.text.trimmingXMLSpace) } ?? 0
    }

    /// §4.5.2: to the contacts and to all of the user's resources, this one included.
    private func unavailable(_ stanza: Stanza, _ session: Session) {
        guard session.isAvailable else { return cleanUp(session, stanza) }
        session.farewell = stanza.compacted()
        server.becomeUnavailable(session)
        server.send(stanza.addressed(to: session.jid), to: session)
    }

    /// §4.6: remembered, so that the end is told.
    private func directed(_ to: JID, _ session: Session) -> Verdict {
        guard session.directed.contains(to) || session.directed.count < server.configuration.sm.limits.directedPresence
        else { return .error(StanzaError(.resourceConstraint, type: .wait)) }
        session.directed.insert(to)
        return .pass
    }

    // MARK: - Broadcast

    /// §4.2.2, §4.4.2, §4.5.2: to the contacts with a subscription `from` or `both`, and to the user's own available
    /// resources.
    private func broadcast(_ stanza: Stanza, of user: User) {
        for contact in user.roster.subscribers {
            let to = JID(contact)
            guard !user.blocklist.blocks(to) else { continue }
            server.route(stanza.addressed(to: to))
        }
        for session in user.availableSessions {
            server.send(stanza.addressed(to: session.jid), to: session)
        }
    }

    /// The new resource learns of the user's others.
    private func introduceOthers(to session: Session) {
        session.isIntroduced = true
        for other in session.user.availableSessions where other !== session {
            if let presence = other.presence { server.send(presence.addressed(to: session.jid), to: session) }
        }
    }

    /// §4.3.1: the contacts with a subscription `to` or `both` are asked for theirs.
    private func probeContacts(of session: Session) {
        for contact in session.user.roster.publishers {
            let to = JID(contact)
            guard !session.user.blocklist.blocks(to) else { continue }
            server.route(Stanza(kind: .presence, to: to, from: session.jid, type: "probe"))
        }
    }

    // MARK: - The end of a session's presence

    func sessionUnavailable(_ session: Session) {
        let farewell = session.farewell ?? Stanza(kind: .presence, from: session.jid, type: "unavailable")
        let user = session.user
        for contact in user.roster.subscribers {
            let to = JID(contact)
            guard !user.blocklist.blocks(to) else { continue }
            server.route(farewell.addressed(to: to))
        }
        for other in user.availableSessions where other !== session && other.isIntroduced {
            server.send(farewell.addressed(to: other.jid), to: other)
        }
        // §4.6.3: those who got directed presence and are not told by the broadcast.
        session.directed = session.directed.filter { !user.roster.sendsPresence(to: $0.bare) }
        cleanUp(session, farewell)
    }

    func sessionEnded(_ session: Session) {
        cleanUp(session, Stanza(kind: .presence, from: session.jid, type: "unavailable"))
    }

    private func cleanUp(_ session: Session, _ farewell: Stanza) {
        let directed = session.directed
        session.directed = []
        for to in directed where !session.user.blocklist.blocks(to) { server.route(farewell.addressed(to: to)) }
    }

    // MARK: - To an account

    func toUser(_ passage: Passage, user: User) -> Verdict {
        guard passage.stanza.type == "probe" else { return .pass }
        if let from = passage.stanza.from { answerProbe(passage, from, user) }
        return .handled
    }

    /// §4.3.2.
    private func answerProbe(_ passage: Passage, _ from: JID, _ user: User) {
        let isOwn = from.bare == user.jid
        let available = user.availableSessions.filter { session in
            isOwn || user.roster.sendsPresence(to: from.bare) || session.directed.contains { $0.bare == from.bare }
        }
        for session in available {
            if let presence = session.presence { server.send(presence.addressed(to: from), inAnswerTo: passage) }
        }
        guard available.isEmpty, !isOwn else { return }
        let type = user.roster.sendsPresence(to: from.bare) ? "unavailable" : "unsubscribed"
        server.send(Stanza(kind: .presence, to: from, from: user.address, type: type), inAnswerTo: passage)
    }
}

extension Stanza {
    func addressed(to: JID) -> Stanza {
        var copy = self
        copy.to = to
        return copy
    }
}

extension String {
    /// Without the white space of XML at both ends.
    var trimmingXMLSpace: Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\n" || $0 == "\t" || $0 == "\r" || $0 == "\r\n" }
        guard let start = firstIndex(where: { !isSpace($0) }), let end = lastIndex(where: { !isSpace($0) }) else {
            return ""
        }
        return self[start...end]
    }
}
