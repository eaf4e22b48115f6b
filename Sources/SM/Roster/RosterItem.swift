// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// A contact of a user (RFC 6121 section 2.1.2).
struct RosterItem: Hashable, Sendable {
    let contact: JID
    var name: String?
    /// Without duplicates, in the order in which they were given.
    var groups: [String]
    var subscription: SubscriptionStateMachine
    /// The roster's version that last changed the item.
    var version: Int64

    init(
        contact: JID,
        name: String? = nil,
        groups: [String] = [],
        subscription: SubscriptionStateMachine = SubscriptionStateMachine(),
        version: Int64 = 0
    ) {
        self.contact = contact
        self.name = name
        self.groups = groups
        self.subscription = subscription
        self.version = version
    }

    /// The item of a stored row; nil if the row names no address or no subscription.
    ///
    /// - Parameters:
    ///   - row: the stored item.
    ///   - isRequested: whether a request of the contact is stored beside it.
    init?(_ row: RosterItemRow, isRequested: Bool) {
        guard let contact = try? JID(row.contact),
            let subscription = SubscriptionState.Subscription(rawValue: row.subscription)
        else { return nil }
        self.init(
            contact: contact,
            name: row.name,
            groups: row.groups,
            subscription: SubscriptionStateMachine(
                state: SubscriptionState(subscription, pendingOut: row.ask, pendingIn: isRequested),
                isApproved: row.approved
            ),
            version: row.version
        )
    }

    /// The row to store.
    var row: RosterItemRow {
        RosterItemRow(
            contact: contact.description,
            name: name,
            subscription: subscription.state.subscription.rawValue,
            ask: subscription.state.isPendingOut,
            approved: subscription.isApproved,
            groups: groups,
            version: version
        )
    }

    /// About how many bytes its element has.
    var encodedSize: Int {
        var size = EncodedSize.item + EncodedSize.of(contact.description)
        if let name { size += 8 + EncodedSize.of(name) }
        if subscription.state.isPendingOut { size += 16 }
        if subscription.isApproved { size += 16 }
        return groups.reduce(size) { $0 + 15 + EncodedSize.of($1) }
    }

    /// The element `<item/>` of `jabber:iq:roster`. A request of the contact does not show in it.
    func element() -> Element {
        let state = subscription.state
        return Element(
            "item",
            Namespace.roster,
            attributes: [
                "jid": contact.description,
                "name": name,
                "subscription": state.subscription.rawValue,
                "ask": state.isPendingOut ? "subscribe" : nil,
                "approved": subscription.isApproved ? "true" : nil,
            ],
            elements: groups.map { Element("group", Namespace.roster, text: $0) }
        )
    }

    /// The element `<item/>` that tells of a removed contact (RFC 6121 section 2.5.2).
    static func removedElement(_ contact: String) -> Element {
        Element("item", Namespace.roster, attributes: ["jid": contact, "subscription": "remove"])
    }
}
