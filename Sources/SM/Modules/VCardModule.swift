// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import XML
import XMPPCore

/// XEP-0054: vcard-temp (1.3). A vCard is stored whole, as the bytes that its owner sent.
final class VCardModule: SMModule {
    private unowned let server: SMServer
    private static let tag = (name: "vCard", namespace: Namespace.vcard)

    init(_ server: SMServer) {
        self.server = server
    }

    var accountNamespaces: [String] { [Namespace.vcard] }

    func features(of entity: DiscoEntity) -> [String] { [Namespace.vcard] }

    /// §3.2: nobody changes the vCard of somebody else.
    func refusalOfStrangers(name: String, type: String?) -> StanzaError? {
        name == Self.tag.name && type == "set" ? .notAllowed : nil
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard request.name == Self.tag.name else { return .pass }
        if passage.stanza.type == "get" {
            load(passage, of: user)
            return .handled
        }
        guard passage.session?.user === user else { return .error(.notAllowed) }
        return set(passage, of: user)
    }

    private func load(_ passage: Passage, of user: User) {
        server.whenStored(passage, server.stores.vcards.load(user.jid)) { bytes in
            guard let bytes else {
                // §3.3: to others as if there were no such account.
                let isOwn = passage.stanza.from?.bare == user.jid
                return self.server.replyError(to: passage, isOwn ? .itemNotFound : .serviceUnavailable)
            }
            var reply = passage.stanza.reply(result: nil)
            reply.append(bytes: bytes)
            self.server.send(reply, inAnswerTo: passage)
        }
    }

    private func set(_ passage: Passage, of user: User) -> Verdict {
        let bytes = passage.stanza.payload
        guard bytes.readableBytes <= server.configuration.sm.limits.vcardBytes else {
            return .error(StanzaError(.notAcceptable, text: "the vCard is too large"))
        }
        server.whenStored(passage, server.stores.vcards.set(bytes, of: user.jid)) { isStored in
            if isStored { self.server.reply(to: passage) } else { self.server.replyError(to: passage, .itemNotFound) }
        }
        return .handled
    }
}
