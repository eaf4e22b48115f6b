// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// Which messages of type `normal` and `chat` wait for a user who is away (XEP-0160 §3, XEP-0334 §4).
///
/// What is not stored says nothing a minute later (who types, who has read) or asks not to be stored: it is dropped
/// without an error.
enum OfflinePolicy {
    static func isStored(_ children: [Element]) -> Bool {
        if hint("no-store", in: children) { return false }
        if hint("store", in: children) { return true }
        return children.contains { !isMomentary($0) }
    }

    private static func hint(_ name: String, in children: [Element]) -> Bool {
        children.contains { $0.name == name && $0.namespace == Namespace.hints }
    }

    /// Nothing that is worth waiting for by itself.
    private static func isMomentary(_ child: Element) -> Bool {
        switch child.namespace {
        case Namespace.chatStates, Namespace.receipts, Namespace.hints, Namespace.stanzaIDs, Namespace.delay,
            "urn:xmpp:chat-markers:0":
            true
        case Namespace.client: child.name == "thread"
        default: false
        }
    }
}
