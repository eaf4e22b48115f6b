// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// XEP-0359: Unique and Stable Stanza IDs (0.7).
enum StanzaIDs {
    /// Adds `<stanza-id by='user'/>` to a message for a local user, save where the id would be a room's. One that
    /// pretends to be by the user is taken out of every message (§4); an `<origin-id/>` is the sender's and stays.
    static func stamp(_ passage: Passage, for user: User) {
        if passage.stanza.payload.readableBytesUInt8Span.contains(Self.name) { removeForged(passage, by: user.jid) }
        let type = MessageType(attribute: passage.stanza.type)
        guard type != .error, type != .groupchat else { return }
        let id = passage.stableID
        let start = user.stanzaIDStart
        passage.stanza.append(bytes: start.readableBytes + id.utf8.count + 3) { buffer in
            buffer.writeImmutableBuffer(start)
            buffer.writeString(id)
            buffer.writeStaticString("'/>")
        }
    }

    private static let name = Array("stanza-id".utf8)

    /// A `<stanza-id/>` by an account, up to its id.
    static func start(by user: BareJID) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeStaticString("<stanza-id xmlns='urn:xmpp:sid:0'")
        XMLEscape.writeAttribute("by", user.description, to: &buffer)
        buffer.writeStaticString(" id='")
        return buffer
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
