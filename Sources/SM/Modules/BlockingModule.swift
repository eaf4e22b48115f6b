// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import XML
import XMPPCore

/// XEP-0191: Blocking Command (1.3). To a blocked sender the account looks as if it did not exist.
final class BlockingModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var points: ChainPoints {
        [
            .messageFromClient, .presenceFromClient, .iqFromClient, .messageToUser, .presenceToUser, .iqToUser,
        ]
    }
    var accountNamespaces: [String] { [Namespace.blocking] }

    func features(of entity: DiscoEntity) -> [String] { [Namespace.blocking] }

    // MARK: - Stanzas of and for those who are blocked

    func fromClient(_ passage: Passage, session: Session) -> Verdict {
        let user = session.user
        guard !user.blocklist.isEmpty, let to = passage.stanza.to, to.bare != user.jid, user.blocklist.blocks(to) else {
            return .pass
        }
        // §3.5: the user's own stanza does not go either.
        return .error(
            StanzaError(.notAcceptable, type: .cancel, application: Element("blocked", Namespace.blockingErrors))
        )
    }

    func toUser(_ passage: Passage, user: User) -> Verdict {
        guard user.blocks(passage.stanza.from) else { return .pass }
        switch passage.stanza.kind {
        case .presence: return .handled
        case .message, .iq: return .error(.serviceUnavailable)
        }
    }

    // MARK: - The command

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard let session = passage.session, session.user === user else { return .pass }
        switch (request.name, passage.stanza.type) {
        case ("blocklist", "get"):
            session.wantsBlocklist = true
            server.reply(to: passage, Self.element("blocklist", user.blocklist.jids))
            return .handled
        case ("block", "set"): return block(passage, request, user)
        case ("unblock", "set"): return unblock(passage, request, user)
        default: return .pass
        }
    }

    private func block(_ passage: Passage, _ request: Element, _ user: User) -> Verdict {
        let jids: [JID]
        do throws(StanzaError) { jids = try addresses(in: request) } catch { return .error(error) }
        guard !jids.isEmpty else { return .error(.badRequest) }
        let new = jids.filter { !user.blocklist.jids.contains($0) && $0.bare != user.jid }
        guard user.blocklist.jids.count + new.count <= server.configuration.sm.limits.blockedAddresses,
            user.blocklist.bytes + Blocklist.bytes(of: new) <= server.configuration.listBytes
        else {
            return .error(StanzaError(.resourceConstraint, type: .cancel))
        }
        server.whenStored(passage, server.stores.blocklist.add(new.map(\.description), to: user.jid)) { _ in
            // §3.3.1: to those who get the presence, the user goes before the blocking takes effect.
            self.tellPresence(of: user, to: new, isAvailable: false)
            for jid in new { user.blocklist.insert(jid) }
            self.server.reply(to: passage)
            self.push(Self.element("block", jids), to: user)
        }
        return .handled
    }

    private func unblock(_ passage: Passage, _ request: Element, _ user: User) -> Verdict {
        let jids: [JID]
        do throws(StanzaError) { jids = try addresses(in: request) } catch { return .error(error) }
        let old = jids.isEmpty ? Array(user.blocklist.jids) : jids.filter(user.blocklist.jids.contains)
        let store = server.stores.blocklist
        let removed =
            jids.isEmpty ? store.clear(user.jid) : store.remove(old.map(\.description), from: user.jid)
        server.whenStored(passage, removed) { _ in
            for jid in old { user.blocklist.remove(jid) }
            self.server.reply(to: passage)
            self.push(Self.element("unblock", jids), to: user)
            self.tellPresence(of: user, to: old, isAvailable: true)
        }
        return .handled
    }

    /// Every session that asked for the list gets the change (§3.3).
    private func push(_ change: Element, to user: User) {
        for session in user.sessions where session.wantsBlocklist {
            server.send(
                Stanza(kind: .iq, to: session.jid, type: "set", id: server.nextRequestID(), payload: [change]),
                to: session
            )
        }
    }

    /// Those who get the user's presence and are matched by items that are added or removed, and by no other: they see
    /// the user leave, or come back. Who got it directed only sees the user leave.
    private func tellPresence(of user: User, to items: [JID], isAvailable: Bool) {
        let changed = Blocklist(items)
        let isConcerned = { (jid: JID) in changed.blocks(jid) && !user.blocklist.blocks(jid) }
        let contacts = user.roster.subscribers.map { JID($0) }.filter(isConcerned)
        // One resource of a contact.
        let resources = items.filter { item in
            !item.isBare && item.local != nil && user.roster.sendsPresence(to: item.bare)
                && !contacts.contains(JID(item.bare)) && isConcerned(item)
        }
        for session in user.availableSessions {
            for to in contacts + resources { tell(to, of: session, isAvailable: isAvailable) }
        }
        guard !isAvailable else { return }
        for session in user.sessions {
            for to in session.directed where isConcerned(to) && !user.roster.sendsPresence(to: to.bare) {
                session.directed.remove(to)
                tell(to, of: session, isAvailable: false)
            }
        }
    }

    private func tell(_ to: JID, of session: Session, isAvailable: Bool) {
        if !isAvailable {
            server.route(Stanza(kind: .presence, to: to, from: session.jid, type: "unavailable"))
        } else if let presence = session.presence {
            server.route(presence.addressed(to: to))
        }
    }

    /// The addresses of the items, each once; not more of them are looked at than a list may have.
    private func addresses(in request: Element) throws(StanzaError) -> [JID] {
        let limit = server.configuration.sm.limits.blockedAddresses
        var jids: [JID] = []
        var known: Set<JID> = []
        for case .element(let item) in request.children
        where item.name == "item" && item.namespace == Namespace.blocking {
            guard let jid = item["jid"].flatMap({ try? JID($0) }) else { throw .jidMalformed }
            guard known.insert(jid).inserted else { continue }
            guard jids.count < limit else { throw StanzaError(.resourceConstraint, type: .cancel) }
            jids.append(jid)
        }
        return jids
    }

    private static func element(_ name: String, _ jids: some Sequence<JID>) -> Element {
        let items = jids.map(\.description).sorted().map { jid in
            Element("item", Namespace.blocking, attributes: ["jid": jid])
        }
        return Element(name, Namespace.blocking, elements: items)
    }
}
