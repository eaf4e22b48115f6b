// SPDX-License-Identifier: Apache-2.0

import Config
import SASL
import XML
import XMPPCore

/// XEP-0030: Service Discovery (2.5.0) of the hosted domains and the accounts, and XEP-0115: Entity Capabilities
/// (1.6.0) of the server in its stream features.
///
/// What the modules contribute is all that is announced, so nothing is announced that is not there. The items of a
/// domain are the components that answer a disco#info request of ours.
final class DiscoModule: SMModule {
    private unowned let server: SMServer
    /// The components that answered, with the name that they gave.
    private var components: [String: String] = [:]
    private static let node = "urn:jackdaw:server"

    init(_ server: SMServer) {
        self.server = server
    }

    var serverNamespaces: [String] { [Namespace.discoInfo, Namespace.discoItems] }
    var accountNamespaces: [String] { [Namespace.discoInfo, Namespace.discoItems] }

    func features(of entity: DiscoEntity) -> [String] {
        switch entity {
        case .server: [Namespace.discoInfo, Namespace.discoItems, Namespace.caps]
        case .account: [Namespace.discoInfo, Namespace.discoItems]
        }
    }

    func identities(of entity: DiscoEntity) -> [DiscoIdentity] {
        switch entity {
        case .server: [DiscoIdentity(category: "server", type: "im", name: "Jackdaw")]
        case .account: [DiscoIdentity(category: "account", type: "registered", name: nil)]
        }
    }

    func streamFeatures(for domain: String) -> [Element] {
        let description = description(of: .server(domain: domain))
        return [
            Element(
                "c",
                Namespace.caps,
                attributes: ["hash": "sha-1", "node": Self.node, "ver": description.verification]
            )
        ]
    }

    // MARK: - Requests

    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict {
        guard request.name == "query", passage.stanza.type == "get" else { return .pass }
        let description = description(of: .server(domain: domain))
        switch (request.namespace, request["node"]) {
        case (Namespace.discoInfo, nil), (Namespace.discoInfo, "\(Self.node)#\(description.verification)"):
            server.reply(to: passage, description.element(node: request["node"]))
        case (Namespace.discoItems, nil): server.reply(to: passage, items())
        default: return .error(.itemNotFound)
        }
        return .handled
    }

    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict {
        guard request.name == "query", passage.stanza.type == "get" else { return .pass }
        // §8: who may not see the presence must not learn that the account exists.
        guard let from = passage.stanza.from, from.bare == user.jid || user.roster.sendsPresence(to: from.bare) else {
            return .error(.serviceUnavailable)
        }
        guard request["node"] == nil else { return .error(.itemNotFound) }
        if request.namespace == Namespace.discoInfo {
            server.reply(to: passage, description(of: .account).element(node: nil))
        } else {
            server.reply(to: passage, Element("query", Namespace.discoItems))
        }
        return .handled
    }

    private func items() -> Element {
        var query = Element("query", Namespace.discoItems)
        for (name, title) in components.sorted(by: { $0.key < $1.key }) {
            query.append(
                Element(
                    "item",
                    Namespace.discoItems,
                    attributes: ["jid": name, "name": title.isEmpty ? nil : title]
                )
            )
        }
        return query
    }

    private func description(of entity: DiscoEntity) -> DiscoDescription {
        let modules = server.chain.modules
        return DiscoDescription(
            identities: modules.flatMap { $0.identities(of: entity) },
            features: Set(modules.flatMap { $0.features(of: entity) }),
            forms: modules.flatMap { $0.forms(of: entity) }
        )
    }

    // MARK: - Components

    func component(_ name: String, isAvailable: Bool) {
        guard isAvailable, let jid = try? JID(local: nil, domain: name, resource: nil) else {
            components[name] = nil
            return
        }
        let query = Element("query", Namespace.discoInfo)
        let domain = server.configuration.mainDomain
        server.request(query, from: domain, to: jid) { [weak self] answer in
            guard let self, let answer, answer.type == "result",
                let info = try? answer.payloadElement("query", Namespace.discoInfo)
            else { return }
            self.components[name] = info.child("identity")?["name"] ?? ""
        }
    }
}

/// What disco#info says of an entity, and its hash (XEP-0115 §5).
struct DiscoDescription {
    let identities: [DiscoIdentity]
    let features: Set<String>
    let forms: [Element]

    func element(node: String?) -> Element {
        var query = Element("query", Namespace.discoInfo, attributes: ["node": node])
        for identity in identities {
            query.append(
                Element(
                    "identity",
                    Namespace.discoInfo,
                    attributes: ["category": identity.category, "type": identity.type, "name": identity.name]
                )
            )
        }
        for feature in features.sorted() {
            query.append(Element("feature", Namespace.discoInfo, attributes: ["var": feature]))
        }
        for form in forms { query.append(form) }
        return query
    }

    /// The verification string of XEP-0115 §5.1, hashed with SHA-1 and in base64.
    var verification: String {
        var text = ""
        for entry in identities.map({ "\($0.category)/\($0.type)//\($0.name ?? "")" }).octetSorted() {
            text += entry + "<"
        }
        for feature in features.octetSorted() { text += feature + "<" }
        for form in forms.map(FormText.init).sorted(by: { $0.type.utf8.lexicographicallyPrecedes($1.type.utf8) }) {
            text += form.text
        }
        return Digest.base64(Digest.sha1(Array(text.utf8)))
    }

    /// A form as the verification string has it.
    private struct FormText {
        let type: String
        let text: String

        init(_ form: Element) {
            var type = ""
            var fields: [(name: String, values: [String])] = []
            for field in form.childElements where field.name == "field" {
                let values = field.childElements.map(\.text)
                if field["var"] == "FORM_TYPE" {
                    type = values.first ?? ""
                } else {
                    fields.append((name: field["var"] ?? "", values: values.octetSorted()))
                }
            }
            fields.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            self.type = type
            text = type + "<" + fields.map { ([$0.name] + $0.values).map { $0 + "<" }.joined() }.joined()
        }
    }
}

extension Sequence<String> {
    /// Sorted by octets (i;octet, RFC 4790 §9.3), as XEP-0115 asks.
    fileprivate func octetSorted() -> [String] {
        sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
