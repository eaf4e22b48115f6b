// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// XEP-0359: Unique and Stable Stanza IDs (0.7).
enum StanzaIDs {
    /// Adds `<stanza-id by='user'/>` to a message for a local user. One that pretends to be by the user is taken out
    /// (§3.1); an `<origin-id/>` is the sender's and stays.
    static func stamp(_ passage: Passage, for user: BareJID) {
        let type = MessageType(attribute: passage.stanza.type)
        guard type != .error, type != .groupchat else { return }
        let by = user.description
        if Bytes.contains(passage.stanza.payload, Array("stanza-id".utf8)) { removeForged(passage, by: user) }
        passage.stanza.append(
            Element("stanza-id", Namespace.stanzaIDs, attributes: ["by": by, "id": passage.stableID])
        )
    }

    private static func removeForged(_ passage: Passage, by user: BareJID) {
        let children = passage.children
        let honest = children.filter { child in
            guard child.name == "stanza-id", child.namespace == Namespace.stanzaIDs else { return true }
            return child["by"].flatMap { try? JID($0) } != JID(user)
        }
        guard honest.count < children.count else { return }
        var stanza = passage.stanza
        stanza.removePayload()
        for child in honest { stanza.append(child) }
        passage.stanza = stanza
    }
}

/// Looking into payloads without parsing them.
enum Bytes {
    /// Whether the bytes occur.
    static func contains(_ buffer: ByteBuffer, _ needle: [UInt8]) -> Bool {
        let view = buffer.readableBytesView
        guard let first = needle.first else { return true }
        var start = view.startIndex
        while let match = view[start...].firstIndex(of: first) {
            guard view.endIndex - match >= needle.count else { return false }
            if view[match..<(match + needle.count)].elementsEqual(needle) { return true }
            start = match + 1
        }
        return false
    }
}
