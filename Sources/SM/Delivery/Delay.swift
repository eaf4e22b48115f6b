// SPDX-License-Identifier: Apache-2.0

import XML
import XMPPCore

/// XEP-0203: Delayed Delivery (2.0).
enum Delay {
    /// Says when the server got a stanza that it delivers late. What it said once is not said again.
    static func stamp(_ stanza: Stanza, at received: Int64, from domain: String) -> Stanza {
        if Bytes.contains(stanza.payload, Array("urn:xmpp:delay".utf8)),
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

    private static func isOurs(_ element: Element, _ domain: String) -> Bool {
        element.name == "delay" && element.namespace == Namespace.delay && element["from"] == domain
    }
}
