// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// XEP-0203: Delayed Delivery (2.0).
enum Delay {
    private static let name = Array("delay".utf8)
    private static let namespace = Array(Namespace.delay.utf8)

    /// Says when the server got a stanza that it delivers late. What it said once is not said again.
    static func stamp(_ stanza: Stanza, at received: Int64, from domain: String) -> Stanza {
        if stanza.payload.readableBytesUInt8Span.contains(namespace),
            (try? stanza.payloadElements())?.contains(where: { isOurs($0, domain) }) ?? false
        {
            return stanza
        }
        var stamped = stanza
        stamped.append(
            Element(
                "delay",
                Namespace.delay,
                attributes: ["from": domain, "stamp": DateTime.format(epochMicroseconds: received)]
            )
        )
        return stamped
    }

    /// Takes out what pretends to be said by one of our domains (§5): else it would go for the time at which we got the
    /// message, and keep us from saying it.
    static func removeForged(_ passage: Passage, domains: Set<String>) {
        // The name of an element has one spelling; a namespace may be written with references.
        guard passage.stanza.payload.readableBytesUInt8Span.contains(name) else { return }
        let children = passage.children
        let honest = children.filter { child in
            guard child.name == "delay", child.namespace == Namespace.delay,
                let from = child["from"].flatMap({ try? JID($0) })
            else { return true }
            return from.local != nil || !domains.contains(from.domain)
        }
        guard honest.count < children.count else { return }
        var stanza = passage.stanza
        stanza.removePayload()
        for child in honest { stanza.append(child) }
        passage.stanza = stanza
    }

    private static func isOurs(_ element: Element, _ domain: String) -> Bool {
        element.name == "delay" && element.namespace == Namespace.delay && element["from"] == domain
    }
}
