// SPDX-License-Identifier: Apache-2.0

package import XML

extension Stanza {
    /// An empty answer: the addresses swapped, kind and id kept.
    package func reply(type: String?) -> Stanza {
        Stanza(kind: self.kind, to: self.from, from: self.to, type: type, id: self.id)
    }

    /// The result of an IQ (RFC 6120 §8.2.3).
    package func reply(result payload: Element? = nil) -> Stanza {
        var reply = self.reply(type: "result")
        if let payload {
            reply.append(payload)
        }
        return reply
    }

    /// The error that answers this stanza (RFC 6120 §8.3), with the addresses swapped and without its payload.
    ///
    /// Nil if it must not be answered: an error is never answered by an error (RFC 6120 §8.3.1), and neither is
    /// the result of an IQ.
    package func error(_ error: StanzaError) -> Stanza? {
        guard self.type != "error", !(self.kind == .iq && self.type == "result") else { return nil }
        var reply = self.reply(type: "error")
        reply.append(error.element())
        return reply
    }

    /// The error of an error stanza, nil for any other.
    package var stanzaError: StanzaError? {
        guard self.type == "error", let elements = try? self.payloadElements() else { return nil }
        return elements.lazy.compactMap(StanzaError.init).first ?? StanzaError(.undefinedCondition)
    }

    /// The error for a child of the stream's root that could not become a stanza, an address being malformed. The
    /// addresses that can be read are swapped. Nil if it must not be answered.
    package static func error(_ error: StanzaError, answering element: StreamElement) -> Stanza? {
        guard let kind = Kind(rawValue: element.name) else { return nil }
        let stanza = Stanza(
            kind: kind,
            to: element["to"].flatMap { try? JID($0) },
            from: element["from"].flatMap { try? JID($0) },
            type: element["type"],
            id: element["id"]
        )
        return stanza.error(error)
    }
}
