// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// XEP-0202: Entity Time (2.0), of the server, whose clock speaks UTC.
final class EntityTimeModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var serverNamespaces: [String] { [Namespace.time] }

    func features(of entity: DiscoEntity) -> [String] {
        if case .server = entity { [Namespace.time] } else { [] }
    }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        guard request.name == "time", passage.stanza.type == "get" else { return .pass }
        let time = Element(
            "time",
            Namespace.time,
            elements: [
                Element("tzo", Namespace.time, text: "+00:00"),
                Element("utc", Namespace.time, text: DateTime.format(epochSeconds: server.now() / 1_000_000)),
            ]
        )
        server.reply(to: passage, time)
        return .handled
    }
}
