// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// What waits for the end of a takeover.
struct HeldWork {
    /// What it is about, so that a message can be found in it.
    enum Subject {
        case passage(Passage)
        case message(SessionMessage)
        case other
    }

    /// Whose traffic is held.
    let user: BareJID
    let subject: Subject
    /// In microseconds since 1970.
    let since: Int64
    let run: (SMServer) -> Void
}

/// What an instance said under a map that we do not have yet.
struct GatedMessage {
    let message: SessionMessage
    let instance: String
    /// The epoch of that map.
    let epoch: UInt64
    /// In microseconds since 1970.
    let since: Int64
}

/// A message that waits for the end of a takeover or for the next map, for `jackdawctl trace message` and a metric.
struct HeldMessage {
    let stanza: Stanza
    /// Its stable id, made when it is asked for.
    let id: () -> String
    /// When the server got it, or as far as that is not known here, since when it waits.
    let since: Int64
    /// The session to which it was sent.
    var jid: JID?
    /// Who has that session's connection.
    var instance: String?
}

extension SMServer {
    /// All messages that wait for the end of the takeover or for the next map.
    var heldMessages: [HeldMessage] {
        var found: [HeldMessage] = []
        for work in heldWork {
            switch work.subject {
            case .passage(let passage):
                found.append(HeldMessage(stanza: passage.stanza, id: { passage.stableID }, since: passage.received))
            case .message(let message): held(message, work.since).map { found.append($0) }
            case .other: break
            }
        }
        found += gated.compactMap { held($0.message, $0.since) }
        for arrival in arrivals.values { found += held(arrival) }
        return found.filter { $0.stanza.kind == .message }
    }

    private func held(_ arrival: Arrival) -> [HeldMessage] {
        let sent = arrival.unacknowledged.compactMap { sent in
            sent.id.map { id in
                HeldMessage(
                    stanza: sent.stanza,
                    id: { id },
                    since: arrival.since,
                    jid: arrival.passport.jid,
                    instance: arrival.instance
                )
            }
        }
        let said = arrival.held.compactMap { content in
            held(SessionMessage(session: arrival.name, attach: arrival.attach, content), arrival.since)
        }
        return sent + said
    }

    /// The stanza of a client, or of another SM; nil: it is about something else.
    private func held(_ message: SessionMessage, _ since: Int64) -> HeldMessage? {
        switch message.content {
        case .stanza(let stanza, let number?, _):
            let ids = stableIDs
            let session = message.session
            return HeldMessage(stanza: stanza, id: { ids.make(session: session, number: number) }, since: since)
        case .handover(.forwarded(let forwarded)):
            return HeldMessage(stanza: forwarded.stanza, id: { forwarded.id }, since: forwarded.received)
        default: return nil
        }
    }
}
