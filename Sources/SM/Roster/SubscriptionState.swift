// SPDX-License-Identifier: Apache-2.0

/// The nine states of a subscription between a user and a contact, from the user's side (RFC 6121 appendix A.1).
enum SubscriptionState: Int, CaseIterable, Hashable, Sendable {
    case none
    case nonePendingOut
    case nonePendingIn
    case nonePendingOutIn
    case to
    case toPendingIn
    case from
    case fromPendingOut
    case both

    /// The attribute `subscription` of a roster item (RFC 6121 section 2.1.2.5).
    enum Subscription: String, CaseIterable, Hashable, Sendable {
        case none
        case to
        case from
        case both
    }

    /// The state with these parts. What is asked for on top of what is there already does not count.
    init(_ subscription: Subscription, pendingOut: Bool, pendingIn: Bool) {
        self =
            switch (subscription, pendingOut, pendingIn) {
            case (.none, false, false): .none
            case (.none, true, false): .nonePendingOut
            case (.none, false, true): .nonePendingIn
            case (.none, true, true): .nonePendingOutIn
            case (.to, _, false): .to
            case (.to, _, true): .toPendingIn
            case (.from, false, _): .from
            case (.from, true, _): .fromPendingOut
            case (.both, _, _): .both
            }
    }

    var subscription: Subscription {
        switch self {
        case .none, .nonePendingOut, .nonePendingIn, .nonePendingOutIn: .none
        case .to, .toPendingIn: .to
        case .from, .fromPendingOut: .from
        case .both: .both
        }
    }

    /// The user's request has no answer yet: `ask='subscribe'` in the roster.
    var isPendingOut: Bool {
        switch self {
        case .nonePendingOut, .nonePendingOutIn, .fromPendingOut: true
        case .none, .nonePendingIn, .to, .toPendingIn, .from, .both: false
        }
    }

    /// The contact's request waits for the user's answer. A roster item never shows it (RFC 6121 section 3.1.3).
    var isPendingIn: Bool {
        switch self {
        case .nonePendingIn, .nonePendingOutIn, .toPendingIn: true
        case .none, .nonePendingOut, .to, .from, .fromPendingOut, .both: false
        }
    }

    /// The user gets the contact's presence.
    var receivesPresence: Bool { subscription == .to || subscription == .both }

    /// The contact gets the user's presence.
    var sendsPresence: Bool { subscription == .from || subscription == .both }
}

/// The presence types that manage subscriptions (RFC 6121 section 3).
enum SubscriptionStanza: String, CaseIterable, Hashable, Sendable {
    case subscribe
    case subscribed
    case unsubscribe
    case unsubscribed
}
