// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import XML
import XMPPCore

/// Carries out changes of rosters: stores them, then changes the roster in memory, pushes it, and sends what the
/// change means for the contact.
///
/// Its caller runs one change of a user at a time (`User.rosterChanges`). A completion gets nil when the change is
/// committed; when the database is away, nothing has changed. Confined to the server's event loop.
final class RosterChanges {
    typealias Completion = (StanzaError?) -> Void

    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    // MARK: - By the client's roster set

    func set(_ request: RosterRequest, of user: User, completion: @escaping Completion) {
        var item = user.roster.item(for: request.contact)
        item.name = request.name
        item.groups = request.groups
        guard hasRoom(for: item, in: user) else { return completion(StanzaError(.resourceConstraint, type: .cancel)) }
        apply([.put(item.row)], to: user) { versions in
            guard let versions else { return completion(.databaseAway) }
            self.put(item, versions, of: user)
            completion(nil)
        }
    }

    /// RFC 6121 §2.5.2: the subscriptions in both directions end with the item.
    func remove(_ contact: BareJID, of user: User, completion: @escaping Completion) {
        guard var item = user.roster.items[contact] else { return completion(.itemNotFound) }
        let (stanzas, outcome) = item.subscription.removed()
        let row = item.row
        apply([.remove(contact: row.contact), .removeRequest(contact: row.contact)], to: user) { versions in
            guard let versions else { return completion(.databaseAway) }
            let version = (versions.first ?? nil) ?? user.roster.version
            user.roster.remove(contact, version: version)
            user.roster.removeRequest(of: contact)
            self.push(RosterItem.removedElement(row.contact), version: version, of: user)
            completion(nil)
            for stanza in stanzas { self.send(stanza, to: contact, from: user) }
            self.tellPresence(outcome.presence, to: contact, from: user)
        }
    }

    // MARK: - By subscription stanzas

    /// RFC 6121 §3, the user's side: the client sent `type` to a contact.
    func sent(
        _ type: SubscriptionStanza,
        to contact: BareJID,
        _ stanza: Stanza,
        of user: User,
        _ completion: @escaping Completion
    ) {
        var subscription = user.roster.subscription(with: contact)
        let outcome = subscription.sent(type)
        change(subscription, outcome, contact, user, request: nil) { error in
            guard error == nil else { return completion(error) }
            if outcome.passes {
                var routed = stanza
                routed.to = JID(contact)
                routed.from = user.address
                self.server.route(routed)
            }
            self.pushIfChanged(outcome, contact, user)
            self.tellPresence(outcome.presence, to: contact, from: user)
            completion(nil)
        }
    }

    /// RFC 6121 §3, the contact's side: a contact sent `type` to the user.
    func received(
        _ type: SubscriptionStanza,
        from contact: BareJID,
        _ stanza: Stanza,
        of user: User,
        _ completion: @escaping Completion
    ) {
        var subscription = user.roster.subscription(with: contact)
        let outcome = subscription.received(type)
        let delivered = Self.withinBound(stanza, from: contact, to: user)
        let request = SubscriptionRequestRow(
            contact: contact.description,
            stanza: SpoolCodec.encode(delivered),
            received: server.now()
        )
        change(subscription, outcome, contact, user, request: request) { error in
            guard error == nil else { return completion(error) }
            if outcome.passes { self.deliver(type, delivered, to: user) }
            self.pushIfChanged(outcome, contact, user)
            if let reply = outcome.reply { self.send(reply, to: contact, from: user) }
            self.tellPresence(outcome.presence, to: contact, from: user)
            completion(nil)
        }
    }

    /// What a stranger may put into a request, which is kept and told at each login; of a larger one the bare question
    /// is left.
    private static let requestBytes = 4 << 10
    /// All the requests that wait for a user.
    private static let allRequestsBytes = 1 << 20

    private static func withinBound(_ stanza: Stanza, from contact: BareJID, to user: User) -> Stanza {
        var bounded = stanza
        if stanza.encodedSize > requestBytes { bounded = Stanza(kind: .presence, type: stanza.type) }
        bounded.to = user.address
        bounded.from = JID(contact)
        return bounded
    }

    private func hasRoom(for request: SubscriptionRequestRow, in user: User) -> Bool {
        user.roster.requests.count < server.configuration.sm.limits.rosterItems
            && user.roster.requestBytes + request.stanza.readableBytes <= Self.allRequestsBytes
    }

    /// §3.1.3: a request goes to available resources; what it became goes to interested ones.
    private func deliver(_ type: SubscriptionStanza, _ stanza: Stanza, to user: User) {
        for session in user.sessions where type == .subscribe ? session.isAvailable : session.isInterested {
            server.send(stanza, to: session)
        }
    }

    private func change(
        _ subscription: SubscriptionStateMachine,
        _ outcome: SubscriptionStateMachine.Outcome,
        _ contact: BareJID,
        _ user: User,
        request: SubscriptionRequestRow?,
        completion: @escaping Completion
    ) {
        var item = user.roster.item(for: contact)
        item.subscription = subscription
        var changes: [RosterChange] = []
        if outcome.pushes {
            guard hasRoom(for: item, in: user) else {
                return completion(StanzaError(.resourceConstraint, type: .cancel))
            }
            changes.append(.put(item.row))
        }
        switch outcome.request {
        case .keep: break
        case .store:
            guard let request, hasRoom(for: request, in: user) else { return completion(.overloaded) }
            changes.append(.putRequest(request))
        case .drop: changes.append(.removeRequest(contact: contact.description))
        }
        guard !changes.isEmpty else { return completion(nil) }
        apply(changes, to: user) { versions in
            guard let versions else { return completion(.databaseAway) }
            if outcome.pushes {
                user.roster.put(item, version: (versions.first ?? nil) ?? user.roster.version)
            } else {
                user.roster.update(subscription, with: contact)
            }
            switch outcome.request {
            case .keep: break
            case .store: if let request { user.roster.putRequest(request) }
            case .drop: user.roster.removeRequest(of: contact)
            }
            completion(nil)
        }
    }

    private func apply(_ changes: [RosterChange], to user: User, completion: @escaping ([Int64?]?) -> Void) {
        server.stores.roster.apply(changes, to: user.jid).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let versions): completion(user.isRemoved ? nil : versions)
            case .failure: completion(nil)
            }
        }
    }

    /// A change of the subscription alone always has room: its few bytes more are within what the link leaves.
    private func hasRoom(for item: RosterItem, in user: User) -> Bool {
        let limits = server.configuration.sm.limits
        let old = user.roster.items[item.contact.bare]
        if let old, old.name == item.name, old.groups == item.groups { return true }
        guard old != nil || user.roster.items.count < limits.rosterItems else { return false }
        let growth = item.encodedSize - (old?.encodedSize ?? 0)
        return growth <= 0 || user.roster.bytes + growth <= limits.rosterBytes
    }

    // MARK: - Pushes and presence

    private func put(_ item: RosterItem, _ versions: [Int64?], of user: User) {
        user.roster.put(item, version: (versions.first ?? nil) ?? user.roster.version)
        push(item.element(), version: user.roster.version, of: user)
    }

    private func pushIfChanged(_ outcome: SubscriptionStateMachine.Outcome, _ contact: BareJID, _ user: User) {
        guard outcome.pushes, let item = user.roster.items[contact] else { return }
        push(item.element(), version: item.version, of: user)
    }

    /// RFC 6121 §2.1.6: to all interested resources.
    private func push(_ item: Element, version: Int64, of user: User) {
        for session in user.sessions where session.isInterested { push(item, version: version, to: session) }
    }

    func push(_ item: Element, version: Int64, to session: Session) {
        let version = session.user.roster.text(ofVersion: version)
        let query = Element("query", Namespace.roster, attributes: ["ver": version], elements: [item])
        let id = server.nextRequestID()
        server.send(Stanza(kind: .iq, to: session.jid, type: "set", id: id, payload: [query]), to: session)
    }

    private func send(_ type: SubscriptionStanza, to contact: BareJID, from user: User) {
        server.route(Stanza(kind: .presence, to: JID(contact), from: user.address, type: type.rawValue))
    }

    /// From each available resource.
    private func tellPresence(_ change: SubscriptionStateMachine.PresenceChange, to contact: BareJID, from user: User) {
        let to = JID(contact)
        guard change != .keep, !user.blocklist.blocks(to) else { return }
        for session in user.availableSessions {
            guard let presence = session.presence else { continue }
            if change == .sendCurrent {
                server.route(presence.addressed(to: to))
            } else {
                server.route(Stanza(kind: .presence, to: to, from: session.jid, type: "unavailable"))
            }
        }
    }
}
