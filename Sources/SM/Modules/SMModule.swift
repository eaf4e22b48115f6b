// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XML
import XMPPCore

/// What a module made of a stanza.
enum Verdict: Sendable, Equatable {
    /// Not mine, or only looked at: the next module is asked.
    case pass
    /// Done, or to be answered later (the module holds the passage until then).
    case handled
    /// Refused: the sender gets this error (never in answer to an error or a result).
    case error(StanzaError)
}

/// The points at which a module wants to see every stanza; IQ requests come by namespace instead.
struct ChainPoints: OptionSet, Sendable {
    let rawValue: UInt8

    /// Messages that a local client sends, before they are routed.
    static let messageFromClient = ChainPoints(rawValue: 1)
    /// Presence that a local client sends.
    static let presenceFromClient = ChainPoints(rawValue: 2)
    /// IQs that a local client sends, whatever their address.
    static let iqFromClient = ChainPoints(rawValue: 4)
    /// Messages that reach a local account, before the delivery rules.
    static let messageToUser = ChainPoints(rawValue: 8)
    /// Presence that reaches a local account.
    static let presenceToUser = ChainPoints(rawValue: 16)
    /// IQs that reach a local account (bare or full JID) from outside it or from one of its sessions.
    static let iqToUser = ChainPoints(rawValue: 32)
}

/// What service discovery asks about (XEP-0030).
enum DiscoEntity: Hashable, Sendable {
    /// A hosted domain.
    case server(domain: String)
    /// A local account, by its bare JID.
    case account
}

/// A concern of the server in a file of its own: a XEP, or a part of RFC 6121. See `docs/architecture.md`, "How to
/// add a module".
///
/// A module is made once with the server, is confined to its event loop, and is asked in the order of
/// `ModuleChain.table`. All methods have an implementation that does nothing.
protocol SMModule: AnyObject {
    /// Where it wants to see every stanza.
    var points: ChainPoints { get }

    /// The namespaces of the payload of IQ requests (get, set) that it answers for the server itself.
    var serverNamespaces: [String] { get }
    /// Likewise for requests to a local account's bare JID, or without `to` from one of its sessions.
    var accountNamespaces: [String] { get }

    /// A stanza of a local client; `ChainPoints` with `fromClient`.
    func fromClient(_ passage: Passage, session: Session) -> Verdict
    /// A stanza for a local account; `ChainPoints` with `toUser`.
    func toUser(_ passage: Passage, user: User) -> Verdict
    /// An IQ request to a hosted domain. It has an id and one child, `request`. `.pass` from all that share the
    /// namespace becomes `<service-unavailable/>`.
    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict
    /// An IQ request to a local account, on whose behalf the server answers. `passage.session?.user === user` tells
    /// that the user itself asks; the others' right to know is for the module to judge.
    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict
    /// The error for a request in one of the `accountNamespaces` that the account alone may make; nil: the account is
    /// asked. It is given before anybody looks whether there is such an account, so that it does not tell.
    func refusalOfStrangers(name: String, type: String?) -> StanzaError?

    /// A session sent initial presence.
    func sessionAvailable(_ session: Session)
    /// An available session is so no longer: unavailable presence, or its end.
    func sessionUnavailable(_ session: Session)
    /// A session is over and no longer among the user's sessions.
    func sessionEnded(_ session: Session)
    /// An account was removed; its rows are gone.
    func userRemoved(_ jid: BareJID)
    /// An external component came or went.
    func component(_ name: String, isAvailable: Bool)
    /// An IQ before login (XEP-0077). Returns whether it answers, now or later.
    func registration(_ request: SessionMessage.Register, answer: @escaping (Stanza) -> Void) -> Bool

    /// Elements for the stream features after login (RFC 6120 §4.3.2).
    func streamFeatures(for domain: String) -> [Element]
    /// Contributions to disco#info and, for the server, to its entity capabilities.
    func features(of entity: DiscoEntity) -> [String]
    func identities(of entity: DiscoEntity) -> [DiscoIdentity]
    /// XEP-0128 forms in disco#info.
    func forms(of entity: DiscoEntity) -> [Element]
}

/// An identity in disco#info.
struct DiscoIdentity: Hashable, Sendable {
    let category: String
    let type: String
    let name: String?
}

extension SMModule {
    var points: ChainPoints { [] }
    var serverNamespaces: [String] { [] }
    var accountNamespaces: [String] { [] }
    func fromClient(_ passage: Passage, session: Session) -> Verdict { .pass }
    func toUser(_ passage: Passage, user: User) -> Verdict { .pass }
    func requestToServer(_ passage: Passage, _ request: Element, domain: String) -> Verdict { .pass }
    func requestToAccount(_ passage: Passage, _ request: Element, user: User) -> Verdict { .pass }
    func refusalOfStrangers(name: String, type: String?) -> StanzaError? { nil }
    func sessionAvailable(_ session: Session) {}
    func sessionUnavailable(_ session: Session) {}
    func sessionEnded(_ session: Session) {}
    func userRemoved(_ jid: BareJID) {}
    func component(_ name: String, isAvailable: Bool) {}
    func registration(_ request: SessionMessage.Register, answer: @escaping (Stanza) -> Void) -> Bool { false }
    func streamFeatures(for domain: String) -> [Element] { [] }
    func features(of entity: DiscoEntity) -> [String] { [] }
    func identities(of entity: DiscoEntity) -> [DiscoIdentity] { [] }
    func forms(of entity: DiscoEntity) -> [Element] { [] }
}
