// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// A user's roster in memory (RFC 6121 §2).
struct Roster {
    init(_ rows: RosterRow, requests: [SubscriptionRequestRow]) {}

    /// What the contacts must be sent when the account is removed: `unsubscribe`, `unsubscribed`.
    var cancellations: [(contact: BareJID, types: [String])] { [] }

    /// The contacts that get the user's presence: subscription `from` or `both`.
    var subscribers: [BareJID] { [] }
    /// The contacts whose presence the user gets: subscription `to` or `both`.
    var publishers: [BareJID] { [] }

    /// Whether the contact gets the user's presence: subscription `from` or `both`.
    func sendsPresence(to contact: BareJID) -> Bool { false }
}
