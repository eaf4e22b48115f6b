// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// XEP-0012: Last Activity (2.0): since when the server runs, and when an account was last there.
final class LastActivityModule: SMModule {
    private unowned let server: SMServer
    private let started: Int64
    /// What the last unavailable presence said, by session; written when the session has become unavailable.
    private var statuses: [String: String] = [:]

    init(_ server: SMServer) {
        self.server = server
        started = server.now()
    }

    var points: ChainPoints { [.presenceFromClient, .iqToUser] }
    var serverNamespaces: [String] { [Namespace.last] }
    var accountNamespaces: [String] { [Namespace.last] }

    func features(of entity: DiscoEntity) -> [String] { [Namespace.last] }

    func fromClient(_ passage: Passage, session: Session) -> Verdict {
        if passage.stanza.type == "unavailable", passage.stanza.to == nil, session.isAvailable {
            statuses[session.name] = passage.children.first { $0.name == "status" }?.text
        }
        return .pass
    }

    func sessionUnavailable(_ session: Session) {
        let status = statuses.removeValue(forKey: session.name)
        let others = session.user.availableSessions.contains { $0 !== session }
        guard !others, !session.user.isRemoved else { return }
        // Nothing depends on it: when the database is away the time of the last leave stays.
        _ = server.stores.lastActivity.set(
            LastActivityRow(seen: server.now(), status: status),
            of: session.user.jid
        )
    }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        guard request.name == "query", passage.stanza.type == "get" else { return .pass }
        answer(passage, since: started)
        return .handled
    }

    /// §4 and §8: a resource is asked by those who may see the presence; others do not even learn whether it is there.
    func toUser(_ passage: Passage, user: User) -> Verdict {
        guard passage.stanza.isIQRequest, passage.stanza.to?.resource != nil,
            passage.stanza.payloadTag.map({ $0 == ("query", Namespace.last) }) ?? false
        else { return .pass }
        return server.sharesPresence(user, with: passage.stanza) ? .pass : .error(.forbidden)
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard request.name == "query", passage.stanza.type == "get" else { return .pass }
        guard let from = passage.stanza.from else { return .error(.badRequest) }
        // §3: only those who may see the presence learn it.
        guard from.bare == user.jid || user.roster.sendsPresence(to: from.bare) else { return .error(.forbidden) }
        // "connected or available": a session that never sent presence counts.
        if !user.sessions.isEmpty {
            answer(passage, since: server.now())
            return .handled
        }
        server.whenStored(passage, server.stores.lastActivity.load(user.jid)) { row in
            guard let row else { return self.server.replyError(to: passage, .itemNotFound) }
            self.answer(passage, since: row.seen, status: row.status)
        }
        return .handled
    }

    private func answer(_ passage: Passage, since: Int64, status: String? = nil) {
        let seconds = max(0, server.now() - since) / 1_000_000
        server.reply(
            to: passage,
            Element("query", Namespace.last, attributes: ["seconds": "\(seconds)"], text: status ?? "")
        )
    }
}
