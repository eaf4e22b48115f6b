// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Daemon
import Logging
import Storage
import XML
import XMPPCore
import XMPPStream

/// The way of a stanza: from a local client or from outside, to the server, a local account or a foreign domain
/// (RFC 6120 §10, RFC 6121 §8).
extension SMServer {
    // MARK: - From a client

    /// A stanza of a client, the `number`th of its session.
    func received(_ stanza: Stanza, number: UInt64, fault: StanzaError.Condition?, in session: Session) {
        session.isPinged = false
        if !session.outbox.isCounting { acknowledged(session.outbox.acknowledgeAll(), in: session) }
        switch session.settlement.received(number) {
        case .duplicate: return scheduleReport(session)
        case .refused:
            return end(session, .ended(condition: .policyViolation, text: "too many stanzas under way"))
        case .new: break
        }
        session.lastStanza = now()
        metrics.stanzasIn.increment()
        let passage = Passage(
            stanza,
            session: session,
            number: number,
            received: session.lastStanza,
            settlesAt: self
        )
        passage.stanza.from = session.jid
        trace(passage)
        if let fault {
            replyError(to: passage, StanzaError(fault))
        } else {
            fromClient(passage, session)
        }
        passage.release()
    }

    private func fromClient(_ passage: Passage, _ session: Session) {
        if passage.stanza.kind == .iq, let error = IQShape.fault(of: passage.stanza) {
            return replyError(to: passage, error)
        }
        switch chain.fromClient(passage, session: session) {
        case .handled: return
        case .error(let error): return replyError(to: passage, error)
        case .pass: break
        }
        guard passage.stanza.to == nil else { return route(passage) }
        switch passage.stanza.kind {
        case .message:
            // RFC 6120 §10.3.1: as if it were addressed to the bare JID of its sender.
            passage.stanza.to = session.user.address
            route(passage)
        case .iq: requestToAccount(passage, session.user)
        case .presence: break
        }
    }

    /// Sends a stanza of a local client, or of the server for a local account, on its way.
    func route(_ passage: Passage) {
        guard let to = passage.stanza.to else { return }
        if hosted.contains(to.domain) {
            routeLocally(passage)
        } else {
            sendOutside(passage)
        }
    }

    /// Likewise for a stanza that the server made.
    func route(_ stanza: Stanza) {
        let passage = passage(stanza)
        route(passage)
        passage.release()
    }

    // MARK: - To the server or an account

    /// `to` is at a hosted domain.
    func routeLocally(_ passage: Passage) {
        guard let to = passage.stanza.to, hosted.contains(to.domain) else {
            return replyError(to: passage, .itemNotFound)
        }
        if passage.session == nil, passage.stanza.kind == .iq, let error = IQShape.fault(of: passage.stanza) {
            return replyError(to: passage, error)
        }
        guard to.local != nil else { return toServer(passage, domain: to.domain) }
        if passage.stanza.isIQRequest, to.isBare, passage.stanza.from?.bare != to.bare,
            let error = chain.refusalOfStrangers(passage.stanza)
        {
            return replyError(to: passage, error)
        }
        guard owns(to.bare) else { return forward(passage, to: to.bare) }
        if isHeld(to.bare) {
            passage.hold()
            return hold(for: to.bare, .passage(passage)) { server in
                server.routeLocally(passage)
                passage.release()
            }
        }
        if mustWait(passage) { return postpone(passage) }
        if let user = users[to.bare] { return toUser(passage, user) }
        guard needsAccount(passage) else { return }
        passage.hold()
        users.with(to.bare) { outcome in
            switch outcome {
            case .user(let user): self.toUser(passage, user)
            case .nonexistent: self.toNobody(passage)
            case .failed(DatabaseError.fenced): self.routeAgain(passage)
            case .failed(let error):
                switch error {
                case is UserTable.Overloaded: self.replyError(to: passage, .overloaded)
                case is UserTable.Moved: self.routeAgain(passage)
                default: self.postpone(passage)
                }
            }
            passage.release()
        }
    }

    /// Presence for an account without sessions reaches nobody: the account is not loaded for it.
    private func needsAccount(_ passage: Passage) -> Bool {
        guard passage.stanza.kind == .presence else { return true }
        switch passage.stanza.type {
        case nil, "unavailable", "error": return false
        case "probe": return passage.stanza.from.map { !hosted.contains($0.domain) } ?? false
        default: return true
        }
    }

    /// RFC 6121 §8.5.1: there is no such account. It must not differ from an account that blocks the sender.
    private func toNobody(_ passage: Passage) {
        switch passage.stanza.kind {
        case .message, .iq: replyError(to: passage, .serviceUnavailable)
        case .presence: break
        }
    }

    private func toServer(_ passage: Passage, domain: String) {
        switch passage.stanza.kind {
        case .message:
            if passage.stanza.type != "headline" { replyError(to: passage, .serviceUnavailable) }
        case .presence: break
        case .iq where passage.stanza.isIQRequest:
            guard let request = request(in: passage) else { return }
            answer(passage, chain.requestToServer(passage, request, domain: domain))
        case .iq: answered(passage.stanza)
        }
    }

    /// A stanza for an account in memory: the modules first, then the delivery rules.
    func toUser(_ passage: Passage, _ user: User) {
        guard !user.isRemoved else { return toNobody(passage) }
        guard !user.isMoved else { return forward(passage, to: user.jid) }
        switch chain.toUser(passage, user: user) {
        case .handled: return
        case .error(let error): return replyError(to: passage, error)
        case .pass: deliver(passage, to: user)
        }
    }

    /// An IQ request that the server answers on behalf of an account.
    func requestToAccount(_ passage: Passage, _ user: User) {
        guard passage.stanza.isIQRequest else { return answered(passage.stanza) }
        guard let request = request(in: passage) else { return }
        answer(passage, chain.requestToAccount(passage, request, user: user))
    }

    /// The request's only child; any other number of children is a fault (RFC 6120 §8.2.3).
    private func request(in passage: Passage) -> Element? {
        if passage.children.count == 1, let request = passage.children.first { return request }
        replyError(to: passage, .badRequest)
        return nil
    }

    private func answer(_ passage: Passage, _ verdict: Verdict) {
        switch verdict {
        case .handled: return
        case .pass: replyError(to: passage, .serviceUnavailable)
        case .error(let error): replyError(to: passage, error)
        }
    }

    private func trace(_ passage: Passage) {
        logger.debug(
            "stanza from client",
            metadata: [
                "stanza": "\(passage.stableID)", "kind": "\(passage.stanza.kind.rawValue)",
                "link": "\(passage.session?.name ?? "")-\(passage.number)",
                "from": "\(passage.stanza.from?.description ?? "")", "to": "\(passage.stanza.to?.description ?? "")",
            ]
        )
    }
}

/// What an IQ's start tag must say (RFC 6120 §8.2.3).
enum IQShape {
    static func fault(of stanza: Stanza) -> StanzaError? {
        guard let type = stanza.type, ["get", "set", "result", "error"].contains(type) else { return .badRequest }
        guard stanza.id != nil else { return .badRequest }
        return nil
    }
}

extension Stanza {
    /// An IQ of type get or set.
    var isIQRequest: Bool { kind == .iq && (type == "get" || type == "set") }
}
