// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// Which messages of type `normal` and `chat` wait for a user who is away (XEP-0160 §3, XEP-0334 §4).
///
/// RFC 6121 §8.5.2.2.1 has them stored, or refused with an error. Dropped without one are chat states that come by
/// themselves (who types), and what asks not to be stored.
enum OfflinePolicy {
    static func isStored(_ stanza: Stanza) -> Bool {
        isStored(MessageType(attribute: stanza.type), (try? stanza.payloadElements()) ?? [])
    }

    static func isStored(_ type: MessageType, _ children: [Element]) -> Bool {
        if hint("no-store", in: children) { return false }
        if hint("store", in: children) { return true }
        let parts = children.map { part($0, type) }
        return parts.contains(.content) || !parts.contains(.momentary)
    }

    private static func hint(_ name: String, in children: [Element]) -> Bool {
        children.contains { $0.name == name && $0.namespace == Namespace.hints }
    }

    private enum Part {
        case content
        /// What says nothing a minute later, and makes a message that has nothing else of the moment.
        case momentary
        /// What only goes with others.
        case wrapping
    }

    private static func part(_ child: Element, _ type: MessageType) -> Part {
        switch child.namespace {
        case Namespace.chatStates: type == .chat ? .momentary : .content
        case Namespace.hints: .momentary
        case Namespace.stanzaIDs, Namespace.delay: .wrapping
        case Namespace.client: child.name == "thread" ? .wrapping : .content
        default: .content
        }
    }
}
