// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import XML
import XMPPCore

/// XEP-0049: Private XML Storage (1.2): one element for each name and namespace, for the account alone.
final class PrivateStorageModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var accountNamespaces: [String] { [Namespace.privateStorage] }

    func features(of entity: DiscoEntity) -> [String] {
        if case .account = entity { [Namespace.privateStorage] } else { [] }
    }

    /// §2.3: data of another user.
    func refusalOfStrangers(name: String, type: String?) -> StanzaError? { name == "query" ? .forbidden : nil }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard request.name == "query" else { return .pass }
        guard passage.session?.user === user else { return .error(.forbidden) }
        let elements = request.childElements
        // §2.2: no element, or one without a namespace of its own.
        guard let first = elements.first, elements.allSatisfy({ $0.namespace != Namespace.privateStorage }) else {
            return .error(.notAcceptable)
        }
        if passage.stanza.type == "set" { return set(passage, elements, of: user) }
        guard elements.count == 1 else { return .error(.badRequest) }
        load(passage, first, of: user)
        return .handled
    }

    private func load(_ passage: Passage, _ element: Element, of user: User) {
        let loaded = server.stores.privateXML.load(user.jid, namespace: element.namespace, name: element.name)
        server.whenStored(passage, loaded) { bytes in
            var query = Element("query", Namespace.privateStorage)
            // §2.3: what was never stored comes back empty.
            query.children = [.element(Element(element.name, element.namespace))]
            if let bytes, let nodes = try? Element.parseFragment(bytes, namespace: Namespace.privateStorage) {
                query.children = nodes
            }
            self.server.reply(to: passage, query)
        }
    }

    private func set(_ passage: Passage, _ elements: [Element], of user: User) -> Verdict {
        let limit = server.configuration.sm.limits.privateStorageBytes
        let written = elements.map { element in
            var buffer = ByteBuffer()
            element.write(to: &buffer, inheriting: Namespace.privateStorage)
            return (element, buffer)
        }
        let size = written.reduce(0) { $0 + $1.1.readableBytes }
        guard size <= limit else { return .error(StanzaError(.notAcceptable, text: "too much private storage")) }
        let replaced = elements.map { (namespace: $0.namespace, name: $0.name) }
        server.whenStored(passage, server.stores.privateXML.usage(user.jid, without: replaced)) { usage in
            guard usage.bytes + size <= limit else {
                return self.server.replyError(to: passage, StanzaError(.resourceConstraint, type: .cancel))
            }
            self.write(passage, written, of: user)
        }
        return .handled
    }

    private func write(_ passage: Passage, _ elements: [(Element, ByteBuffer)], of user: User) {
        let store = server.stores.privateXML
        let writes = elements.map { element, bytes in
            store.set(bytes, namespace: element.namespace, name: element.name, of: user.jid)
        }
        server.whenStored(passage, EventLoopFuture.whenAllSucceed(writes, on: server.eventLoop)) { _ in
            self.server.reply(to: passage)
        }
    }
}
