// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// XEP-0199: XMPP Ping (2.0.1), to the server and to the own account.
final class PingModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var serverNamespaces: [String] { [Namespace.ping] }
    var accountNamespaces: [String] { [Namespace.ping] }

    func features(of entity: DiscoEntity) -> [String] { [Namespace.ping] }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        answer(passage, request)
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        // To others the account must not show whether it exists (§4.2 with RFC 6120 §8.3.3.19).
        passage.session?.user === user ? answer(passage, request) : .pass
    }

    private func answer(_ passage: Passage, _ request: Element) -> Verdict {
        guard request.name == "ping", passage.stanza.type == "get" else { return .pass }
        server.reply(to: passage)
        return .handled
    }
}
