// SPDX-License-Identifier: Apache-2.0

/// The tables of RFC 6121 appendix A, as data: one row for each of the nine states, in the order of the RFC.
///
/// What depends on more than the state, pre-approval and the server's own replies, is `SubscriptionStateMachine`'s.
enum SubscriptionTables {
    /// One row: whether the stanza goes on, and the state after it.
    struct Row: Hashable, Sendable {
        /// Routed to the contact (outbound) or delivered to the user (inbound).
        let passes: Bool
        let newState: SubscriptionState
    }

    /// Tables A.2.1 to A.2.4: what the user sends.
    static func outbound(_ stanza: SubscriptionStanza, in state: SubscriptionState) -> Row {
        switch stanza {
        case .subscribe: row(outboundSubscribe, state)
        case .unsubscribe: row(outboundUnsubscribe, state)
        case .subscribed: row(outboundSubscribed, state)
        case .unsubscribed: row(outboundUnsubscribed, state)
        }
    }

    /// Tables A.3.1 to A.3.4: what the contact sends.
    static func inbound(_ stanza: SubscriptionStanza, in state: SubscriptionState) -> Row {
        switch stanza {
        case .subscribe: row(inboundSubscribe, state)
        case .unsubscribe: row(inboundUnsubscribe, state)
        case .subscribed: row(inboundSubscribed, state)
        case .unsubscribed: row(inboundUnsubscribed, state)
        }
    }

    private typealias Table = [(state: SubscriptionState, passes: Bool, newState: SubscriptionState)]

    /// Every state has its row; a test sees to it.
    private static func row(_ table: Table, _ state: SubscriptionState) -> Row {
        guard table.indices.contains(state.rawValue) else { return Row(passes: false, newState: state) }
        let row = table[state.rawValue]
        return Row(passes: row.passes, newState: row.newState)
    }

    private static let outboundSubscribe: Table = [
        (.none, true, .nonePendingOut),
        (.nonePendingOut, true, .nonePendingOut),
        (.nonePendingIn, true, .nonePendingOutIn),
        (.nonePendingOutIn, true, .nonePendingOutIn),
        (.to, true, .to),
        (.toPendingIn, true, .toPendingIn),
        (.from, true, .fromPendingOut),
        (.fromPendingOut, true, .fromPendingOut),
        (.both, true, .both),
    ]

    private static let outboundUnsubscribe: Table = [
        (.none, true, .none),
        (.nonePendingOut, true, .none),
        (.nonePendingIn, true, .nonePendingIn),
        (.nonePendingOutIn, true, .nonePendingIn),
        (.to, true, .none),
        (.toPendingIn, true, .nonePendingIn),
        (.from, true, .from),
        (.fromPendingOut, true, .from),
        (.both, true, .from),
    ]

    private static let outboundSubscribed: Table = [
        (.none, false, .none),
        (.nonePendingOut, false, .nonePendingOut),
        (.nonePendingIn, true, .from),
        (.nonePendingOutIn, true, .fromPendingOut),
        (.to, false, .to),
        (.toPendingIn, true, .both),
        (.from, false, .from),
        (.fromPendingOut, false, .fromPendingOut),
        (.both, false, .both),
    ]

    private static let outboundUnsubscribed: Table = [
        (.none, false, .none),
        (.nonePendingOut, false, .nonePendingOut),
        (.nonePendingIn, true, .none),
        (.nonePendingOutIn, true, .nonePendingOut),
        (.to, false, .to),
        (.toPendingIn, true, .to),
        (.from, true, .none),
        (.fromPendingOut, true, .nonePendingOut),
        (.both, true, .to),
    ]

    private static let inboundSubscribe: Table = [
        (.none, true, .nonePendingIn),
        (.nonePendingOut, true, .nonePendingOutIn),
        (.nonePendingIn, false, .nonePendingIn),
        (.nonePendingOutIn, false, .nonePendingOutIn),
        (.to, true, .toPendingIn),
        (.toPendingIn, false, .toPendingIn),
        (.from, false, .from),
        (.fromPendingOut, false, .fromPendingOut),
        (.both, false, .both),
    ]

    private static let inboundUnsubscribe: Table = [
        (.none, false, .none),
        (.nonePendingOut, false, .nonePendingOut),
        (.nonePendingIn, true, .none),
        (.nonePendingOutIn, true, .nonePendingOut),
        (.to, false, .to),
        (.toPendingIn, true, .to),
        (.from, true, .none),
        (.fromPendingOut, true, .nonePendingOut),
        (.both, true, .to),
    ]

    private static let inboundSubscribed: Table = [
        (.none, false, .none),
        (.nonePendingOut, true, .to),
        (.nonePendingIn, false, .nonePendingIn),
        (.nonePendingOutIn, true, .toPendingIn),
        (.to, false, .to),
        (.toPendingIn, false, .toPendingIn),
        (.from, false, .from),
        (.fromPendingOut, true, .both),
        (.both, false, .both),
    ]

    private static let inboundUnsubscribed: Table = [
        (.none, false, .none),
        (.nonePendingOut, true, .none),
        (.nonePendingIn, false, .nonePendingIn),
        (.nonePendingOutIn, true, .nonePendingIn),
        (.to, true, .none),
        (.toPendingIn, true, .nonePendingIn),
        (.from, false, .from),
        (.fromPendingOut, true, .from),
        (.both, true, .from),
    ]
}
