// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import XML
import XMPPCore

/// RFC 6121 §2: the roster: get, set, removal, pushes and versions. What changes it is `RosterChanges`'.
final class RosterModule: SMModule {
    private unowned let server: SMServer
    private let changes: RosterChanges

    init(_ server: SMServer, _ changes: RosterChanges) {
        self.server = server
        self.changes = changes
    }

    var accountNamespaces: [String] { [Namespace.roster] }

    func features(of entity: DiscoEntity) -> [String] {
        if case .server = entity { [Namespace.roster] } else { [] }
    }

    func streamFeatures(for domain: String) -> [Element] {
        [Element("ver", Namespace.rosterVersioning), Element("sub", Namespace.subscriptionPreApproval)]
    }

    /// §2.3.3: somebody else's roster.
    func refusalOfStrangers(name: String, type: String?) -> StanzaError? { name == "query" ? .forbidden : nil }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard request.name == "query" else { return .pass }
        guard let session = passage.session, session.user === user else { return .error(.forbidden) }
        passage.hold()
        let isQueued = user.rosterChanges.run { done in
            let finish = {
                passage.release()
                done()
                self.server.users.noteIfIdle(user)
            }
            if passage.stanza.type == "get" {
                self.get(passage, request, session, finish)
            } else {
                self.set(passage, request, user, finish)
            }
        }
        guard isQueued else {
            passage.release()
            return .error(.overloaded)
        }
        return .handled
    }

    // MARK: - Get

    /// §2.1.3 and §2.6: nothing when the client's version is current, the changes since it, or all of it.
    private func get(_ passage: Passage, _ request: Element, _ session: Session, _ finish: @escaping () -> Void) {
        session.isInterested = true
        let user = session.user
        guard let known = request["ver"].flatMap({ user.roster.version(ofText: $0) }) else {
            sendAll(passage, user)
            return finish()
        }
        guard known < user.roster.version else {
            server.reply(to: passage)
            return finish()
        }
        server.stores.roster.changes(of: user.jid, since: known).assumeIsolated().whenComplete { result in
            if case .success(let changes?) = result,
                changes.items.count + changes.removed.count <= user.roster.items.count
            {
                self.server.reply(to: passage)
                self.replay(changes, to: session)
            } else {
                self.sendAll(passage, user)
            }
            finish()
        }
    }

    private func sendAll(_ passage: Passage, _ user: User) {
        let items = user.roster.items.values.sorted { $0.version < $1.version }
        let query = Element(
            "query",
            Namespace.roster,
            attributes: ["ver": user.roster.text(ofVersion: user.roster.version)],
            elements: items.map { $0.element() }
        )
        server.reply(to: passage, query)
    }

    /// Removed items too, in the order of their versions.
    private func replay(_ changes: RosterChangesRow, to session: Session) {
        var pushes = changes.items.compactMap { row in
            RosterItem(row, isRequested: false).map { (version: row.version, item: $0.element()) }
        }
        pushes += changes.removed.map { (version: $0.version, item: RosterItem.removedElement($0.contact)) }
        for push in pushes.sorted(by: { $0.version < $1.version }) {
            self.changes.push(push.item, version: push.version, to: session)
        }
    }

    // MARK: - Set

    /// §2.3 and §2.5.
    private func set(_ passage: Passage, _ request: Element, _ user: User, _ finish: @escaping () -> Void) {
        let parsed: RosterRequest
        do throws(StanzaError) {
            parsed = try RosterRequest(request, limits: server.configuration.sm.limits)
        } catch {
            server.replyError(to: passage, error)
            return finish()
        }
        let answer = { (error: StanzaError?) in
            if let error { self.server.replyError(to: passage, error) } else { self.server.reply(to: passage) }
            finish()
        }
        if parsed.isRemoval {
            changes.remove(parsed.contact, of: user, completion: answer)
        } else {
            changes.set(parsed, of: user, completion: answer)
        }
    }
}

/// What a client asks of its roster: one item (RFC 6121 §2.1.5, §2.3.3).
struct RosterRequest {
    let contact: BareJID
    let name: String?
    let groups: [String]
    let isRemoval: Bool

    init(_ query: Element, limits: JackdawConfiguration.SMLimits) throws(StanzaError) {
        let items = query.childElements.filter { $0.name == "item" && $0.namespace == Namespace.roster }
        guard items.count == 1, let item = items.first, let text = item["jid"] else { throw .badRequest }
        guard let jid = try? JID(text) else { throw .jidMalformed }
        contact = jid.bare
        isRemoval = item["subscription"] == "remove"
        name = item["name"].flatMap { $0.isEmpty ? nil : $0 }
        groups = item.childElements.filter { $0.name == "group" && $0.namespace == Namespace.roster }.map(\.text)
        guard Set(groups).count == groups.count else { throw .badRequest }
        guard groups.allSatisfy({ !$0.isEmpty }) else { throw .notAcceptable }
        let longest = ([name ?? ""] + groups).map(\.utf8.count).max() ?? 0
        guard longest <= limits.rosterNameBytes, groups.count <= limits.rosterGroups else { throw .notAcceptable }
    }
}
