// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// What SM knows of a session and C2S does not, as the bytes that C2S keeps for the session's next owner
/// (`docs/protocols.md` section 5): whom it told its presence, and what it asked to be told.
struct SessionState: Equatable {
    var presence: Stanza?
    var farewell: Stanza?
    var directed: Set<JID> = []
    var isIntroduced = false
    var isInterested = false
    var wantsBlocklist = false
    /// For the session record alone: a C2S knows it by itself.
    var sent: SentBefore?
    /// Likewise: the stable ids of what the user's clients acknowledged lately, the last one last.
    var lately: [String] = []

    init() {}

    init(of session: Session) {
        presence = session.presence
        farewell = session.farewell
        directed = session.directed
        isIntroduced = session.isIntroduced
        isInterested = session.isInterested
        wantsBlocklist = session.wantsBlocklist
    }

    static func == (left: SessionState, right: SessionState) -> Bool { left.encoded == right.encoded }

    // MARK: Bytes

    /// One element with the flags, and the presence stanzas behind it.
    var encoded: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeStaticString("<f")
        if isIntroduced { buffer.writeStaticString(" introduced='1'") }
        if isInterested { buffer.writeStaticString(" interested='1'") }
        if wantsBlocklist { buffer.writeStaticString(" blocklist='1'") }
        buffer.writeStaticString(">")
        for jid in directed.map(\.description).sorted() {
            buffer.writeStaticString("<to>")
            XMLEscape.writeText(jid, to: &buffer)
            buffer.writeStaticString("</to>")
        }
        buffer.writeStaticString("</f>")
        presence?.write(to: &buffer)
        farewell?.write(to: &buffer)
        sent?.write(to: &buffer)
        if !lately.isEmpty {
            buffer.writeStaticString("<lately>")
            XMLEscape.writeText(lately.joined(separator: " "), to: &buffer)
            buffer.writeStaticString("</lately>")
        }
        return buffer
    }

    /// Bytes that cannot be read give the state of a session that has said nothing yet.
    init(_ bytes: ByteBuffer) {
        for element in SpoolCodec.elements(bytes) {
            if element.name == "f" {
                takeFlags(element)
            } else if element.name == "sent" {
                sent = SentBefore(element)
            } else if element.name == "lately" {
                lately = String(buffer: element.content).split(separator: " ").map(String.init)
            } else if let stanza = try? Stanza(element), stanza.kind == .presence {
                if stanza.type == nil { presence = stanza } else { farewell = stanza }
            }
        }
    }

    private mutating func takeFlags(_ element: StreamElement) {
        isIntroduced = element["introduced"] != nil
        isInterested = element["interested"] != nil
        wantsBlocklist = element["blocklist"] != nil
        let children = (try? Element.parseFragment(element.content, namespace: Namespace.client)) ?? []
        for case .element(let child) in children where child.name == "to" {
            if let jid = try? JID(child.text) { directed.insert(jid) }
        }
    }
}

extension Session {
    /// Takes over what the former owner knew. The priority is in the presence.
    func restore(_ state: SessionState) {
        presence = state.presence
        priority = state.presence.flatMap { try? $0.payloadElements() }.map(PresenceModule.priority) ?? 0
        farewell = state.farewell
        directed = state.directed
        isIntroduced = state.isIntroduced
        isInterested = state.isInterested
        wantsBlocklist = state.wantsBlocklist
        isStateDirty = false
    }
}
