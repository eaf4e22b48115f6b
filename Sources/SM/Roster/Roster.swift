// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XMPPCore

/// A user's roster in memory, and the subscription requests that wait for an answer (RFC 6121 §2, §3.1.3).
struct Roster {
    private(set) var items: [BareJID: RosterItem] = [:]
    /// The requests of contacts, in the order of their arrival.
    private(set) var requests: [SubscriptionRequestRow] = []
    /// The bytes of the requests' stanzas.
    private(set) var requestBytes = 0
    /// Raised by each change of an item.
    private(set) var version: Int64
    /// What tells its versions from those of a roster that the same address had before, or has in a backup.
    private let epoch: String
    /// About the bytes of all items' elements.
    private(set) var bytes = 0

    init(_ rows: RosterRow, requests: [SubscriptionRequestRow]) {
        self.version = rows.version
        self.epoch = rows.epoch
        self.requests = requests
        self.requestBytes = requests.reduce(0) { $0 + $1.stanza.readableBytes }
        let asking = Set(requests.map(\.contact))
        for row in rows.items {
            guard let item = RosterItem(row, isRequested: asking.contains(row.contact)) else { continue }
            items[item.contact.bare] = item
            bytes += item.encodedSize
        }
    }

    /// A version as clients see it, to them opaque (RFC 6121 §2.6.1).
    func text(ofVersion version: Int64) -> String { "\(epoch)-\(version)" }

    /// The version that a client has; nil: it is none of this roster, or one that never was.
    func version(ofText text: String) -> Int64? {
        guard let hyphen = text.lastIndex(of: "-"), text[..<hyphen] == epoch else { return nil }
        // No range of the two: where nobody is in the roster yet, its version is 0.
        guard let version = Int64(text[text.index(after: hyphen)...]), version >= 1, version <= self.version else {
            return nil
        }
        return version
    }

    /// Whether the contact gets the user's presence: subscription `from` or `both`.
    func sendsPresence(to contact: BareJID) -> Bool {
        items[contact]?.subscription.state.sendsPresence ?? false
    }

    /// The contacts that get the user's presence.
    var subscribers: some Sequence<BareJID> {
        items.lazy.filter { $0.value.subscription.state.sendsPresence }.map(\.key)
    }

    /// The contacts whose presence the user gets: subscription `to` or `both`.
    var publishers: some Sequence<BareJID> {
        items.lazy.filter { $0.value.subscription.state.receivesPresence }.map(\.key)
    }

    /// What the contacts must be sent when the account is removed.
    var cancellations: [(contact: BareJID, types: [String])] {
        let contacts = Set(items.keys).union(requests.compactMap { try? BareJID($0.contact) })
        return contacts.map { contact in
            var subscription = subscription(with: contact)
            return (contact: contact, types: subscription.removed().stanzas.map(\.rawValue))
        }
    }

    /// The subscription with a contact, who need not be in the roster.
    func subscription(with contact: BareJID) -> SubscriptionStateMachine {
        if let item = items[contact] { return item.subscription }
        let text = contact.description
        let isRequested = requests.contains { $0.contact == text }
        return SubscriptionStateMachine(state: isRequested ? .nonePendingIn : .none)
    }

    /// The item to change: the contact's, or a new one.
    func item(for contact: BareJID) -> RosterItem {
        items[contact] ?? RosterItem(contact: JID(contact), subscription: subscription(with: contact))
    }

    mutating func put(_ item: RosterItem, version: Int64) {
        var item = item
        item.version = version
        bytes += item.encodedSize - size(of: item.contact.bare)
        items[item.contact.bare] = item
        self.version = max(self.version, version)
    }

    mutating func remove(_ contact: BareJID, version: Int64) {
        bytes -= size(of: contact)
        items[contact] = nil
        self.version = max(self.version, version)
    }

    /// What the contact's item has of `bytes`.
    func size(of contact: BareJID) -> Int { items[contact]?.encodedSize ?? 0 }

    /// Remembers a request, or the subscription that changed without an item.
    mutating func putRequest(_ request: SubscriptionRequestRow) {
        removeRequest(request.contact)
        requests.append(request)
        requestBytes += request.stanza.readableBytes
    }

    mutating func removeRequest(of contact: BareJID) {
        removeRequest(contact.description)
    }

    private mutating func removeRequest(_ contact: String) {
        guard let index = requests.firstIndex(where: { $0.contact == contact }) else { return }
        requestBytes -= requests.remove(at: index).stanza.readableBytes
    }

    /// The item's subscription, where nothing that a roster shows has changed.
    mutating func update(_ subscription: SubscriptionStateMachine, with contact: BareJID) {
        bytes -= size(of: contact)
        items[contact]?.subscription = subscription
        bytes += size(of: contact)
    }
}
