// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// The session request of RFC 3921 §3, which RFC 6121 dropped: old clients send it after binding and wait for a result.
final class LegacySessionModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var serverNamespaces: [String] { [Namespace.session] }
    var accountNamespaces: [String] { [Namespace.session] }

    /// draft-cridland-xmpp-session-01: old clients look for it, new ones need not.
    func streamFeatures(for domain: String) -> [Element] {
        [
            Element(
                "session",
                Namespace.session,
                elements: [Element("optional", Namespace.session)]
            )
        ]
    }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        answer(passage, request)
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        passage.session?.user === user ? answer(passage, request) : .pass
    }

    private func answer(_ passage: Passage, _ request: Element) -> Verdict {
        guard request.name == "session", passage.stanza.type == "set", passage.session != nil else { return .pass }
        server.reply(to: passage)
        return .handled
    }
}
