// SPDX-License-Identifier: Apache-2.0

/// The `type` of a message (RFC 6121 §5.2.2); an unknown one counts as `normal`.
enum MessageType: String, Sendable, CaseIterable {
    case normal
    case chat
    case groupchat
    case headline
    case error

    init(attribute: String?) {
        self = attribute.flatMap(MessageType.init(rawValue:)) ?? .normal
    }
}

/// A session as the delivery rules see it.
struct DeliveryTarget: Equatable, Sendable {
    let resource: String
    /// The priority of its available presence; nil: connected, not available.
    let priority: Int8?
    /// False: its connection broke, it waits for its resumption.
    let isAttached: Bool

    /// Whether messages to the bare JID may go there.
    var takesMessages: Bool { isAttached && (priority ?? -1) >= 0 }
}

/// Where a stanza for a local user goes: RFC 6121 §8.5 as pure functions.
///
/// Choices within the RFC: a message to the bare JID goes to all resources of the highest non-negative priority;
/// what the RFC lets a server ignore is answered with an error where a person waits for it (`normal` and
/// `groupchat` to a resource that is not there). A session that waits for its resumption takes presence, IQs and
/// groupchat (they are queued), but for `normal` and `chat` it counts as absent, so that they reach a living
/// session or the spool.
enum DeliveryRules {
    enum MessageDecision: Equatable, Sendable {
        case deliver([String])
        /// For nobody now: to the spool (XEP-0160).
        case store
        case serviceUnavailable
        case ignore
    }

    /// §8.5.2.1.1, §8.5.2.2.1, §8.5.3.1, §8.5.3.2.1; the table of §8.5.4.
    static func message(type: MessageType, to resource: String?, sessions: [DeliveryTarget]) -> MessageDecision {
        guard let resource else { return bareMessage(type: type, sessions: sessions) }
        guard let match = sessions.first(where: { $0.resource == resource }) else {
            return unmatchedMessage(type: type, sessions: sessions)
        }
        if match.isAttached { return .deliver([resource]) }
        switch type {
        case .normal, .chat: return bareMessage(type: type, sessions: sessions)
        case .groupchat, .error, .headline: return .deliver([resource])
        }
    }

    enum IQDecision: Equatable, Sendable {
        case deliver(String)
        /// §8.5.2.1.3: the server answers for the user.
        case onBehalf
        case serviceUnavailable
        case ignore
    }

    /// §8.5.2.1.3, §8.5.3.1, §8.5.3.2.3. `isRequest`: get or set; what is a result or an error is never answered.
    /// `sharesPresence`: the user lets the sender see presence, by subscription or directed (§8.5.3.1).
    static func iq(
        isRequest: Bool,
        to resource: String?,
        sharesPresence: Bool,
        sessions: [DeliveryTarget]
    ) -> IQDecision {
        guard let resource else { return isRequest ? .onBehalf : .ignore }
        guard sessions.contains(where: { $0.resource == resource }) else {
            return isRequest ? .serviceUnavailable : .ignore
        }
        return isRequest && !sharesPresence ? .serviceUnavailable : .deliver(resource)
    }

    /// §8.5.2.1.2, §8.5.3.1, §8.5.3.2.2, for presence without a type or of type unavailable: the resources it
    /// reaches.
    static func presence(to resource: String?, sessions: [DeliveryTarget]) -> [String] {
        guard let resource else { return sessions.filter { $0.priority != nil }.map(\.resource) }
        return sessions.filter { $0.resource == resource }.map(\.resource)
    }

    private static func bareMessage(type: MessageType, sessions: [DeliveryTarget]) -> MessageDecision {
        let takers = sessions.filter(\.takesMessages)
        switch type {
        case .groupchat: return .serviceUnavailable
        case .error: return .ignore
        case .headline: return takers.isEmpty ? .ignore : .deliver(takers.map(\.resource))
        case .normal, .chat:
            guard let highest = takers.compactMap(\.priority).max() else { return .store }
            return .deliver(takers.filter { $0.priority == highest }.map(\.resource))
        }
    }

    private static func unmatchedMessage(type: MessageType, sessions: [DeliveryTarget]) -> MessageDecision {
        switch type {
        case .chat: bareMessage(type: type, sessions: sessions)
        case .normal, .groupchat: .serviceUnavailable
        case .headline, .error: .ignore
        }
    }
}
