// SPDX-License-Identifier: Apache-2.0

import Daemon
import XML
import XMPPCore

/// XEP-0092: Software Version (1.1), of the server.
final class VersionModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var serverNamespaces: [String] { [Namespace.version] }

    func features(of entity: DiscoEntity) -> [String] {
        if case .server = entity { [Namespace.version] } else { [] }
    }

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        guard request.name == "query", passage.stanza.type == "get" else { return .pass }
        let query = Element(
            "query",
            Namespace.version,
            elements: [
                Element("name", Namespace.version, text: "Jackdaw"),
                Element("version", Namespace.version, text: BuildInformation.version),
            ]
        )
        server.reply(to: passage, query)
        return .handled
    }
}
