// SPDX-License-Identifier: Apache-2.0

package import XML
package import XMPPCore

extension Stanza {
    /// Makes a stanza of a tree in `jabber:client`, for the few that do not travel as bytes.
    package init(_ element: Element) throws(LinkFault) {
        guard let kind = Kind(rawValue: element.name) else { throw .unknownElement(element.name) }
        self.init(
            kind: kind,
            to: try Self.address(element, "to"),
            from: try Self.address(element, "from"),
            type: element["type"],
            id: element["id"],
            lang: element["xml:lang"],
            payload: element.childElements
        )
    }

    private static func address(_ element: Element, _ name: String) throws(LinkFault) -> JID? {
        guard let text = element[name] else { return nil }
        guard let jid = try? JID(text) else { throw .badAttribute(name) }
        return jid
    }
}
