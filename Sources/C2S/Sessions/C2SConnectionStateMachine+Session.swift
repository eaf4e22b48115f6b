// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XML
import XMPPCore
import XMPPStream

// A bound session: stanzas both ways, and stream management (XEP-0198).

extension C2SConnectionStateMachine {
    /// What to do with what a client sent in its session.
    enum Verdict {
        case forward(SessionMessage)
        case actions([Action])
    }

    /// A child of the stream's root arrived in the session.
    mutating func sessionElementReceived(_ element: StreamElement, id: String) -> Verdict {
        if element.namespace == Namespace.client, Stanza.Kind(rawValue: element.name) != nil {
            return stanzaReceived(element, id: id)
        }
        switch (element.namespace, element.name) {
        case (Namespace.streamManagement, "a"): return .actions(acknowledgementReceived(element, id: id))
        case (Namespace.streamManagement, "r"): return .actions(acknowledgementRequested())
        case (Namespace.streamManagement, "enable"): return .actions(enableReceived(element))
        case (Namespace.streamManagement, "resume"):
            return .actions([.send(ManagementElement.failed(.unexpectedRequest))])
        case (Namespace.sasl, _), (Namespace.tls, _):
            return .actions(fail(StreamError(.policyViolation, text: "the login is done"), id: id))
        default:
            return .actions(fail(StreamError(.unsupportedStanzaType), id: id))
        }
    }

    /// RFC 6120 §8.1: the form of a stanza is judged here, its meaning by SM.
    private mutating func stanzaReceived(_ element: StreamElement, id: String) -> Verdict {
        var fault: StanzaError.Condition?
        var stanza: Stanza
        do throws(StanzaFault) {
            stanza = try Stanza(element, jids: jids)
        } catch {
            var element = element
            guard case .malformedTo = error else {
                return .actions(fail(StreamError(.invalidFrom), id: id))
            }
            element.attributes.removeAll { $0.name == "to" }
            guard let rest = try? Stanza(element) else {
                return .actions(fail(StreamError(.invalidFrom), id: id))
            }
            stanza = rest
            fault = .jidMalformed
        }
        if let from = stanza.from, from != jid, from != jid.map({ JID($0.bare) }) {
            // RFC 6120 §8.1.2.1
            return .actions(fail(StreamError(.invalidFrom), id: id))
        }
        if let sender { stanza.setSender(sender) }
        if stanza.lang == nil { stanza.lang = language }
        if isExhausted {
            stanza.removePayload()
            fault = .resourceConstraint
        }
        let number = management.stanzaReceived()
        return .forward(
            SessionMessage(session: sessionName, attach: attach, .stanza(stanza, number: number, fault: fault))
        )
    }

    /// Whether what arrived answers what we sent, and so is not charged to the client.
    mutating func takeUncharged(_ element: StreamElement) -> Bool {
        if acknowledgesMore(element) {
            uncharged = max(uncharged - 1, 0)
            return true
        }
        guard uncharged > 0 else { return false }
        let isAnswer: Bool
        switch element.name {
        case "iq": isAnswer = element["type"] == "result" || element["type"] == "error"
        case "a": isAnswer = element.namespace == Namespace.streamManagement
        default: isAnswer = false
        }
        if isAnswer { uncharged -= 1 }
        return isAnswer
    }

    /// Whether it is an `<a/>` that tells something new, which a client may send unasked (XEP-0198 §4). There are no
    /// more of these than stanzas that it was sent.
    private func acknowledgesMore(_ element: StreamElement) -> Bool {
        guard element.name == "a", element.namespace == Namespace.streamManagement else { return false }
        return element["h"].flatMap { UInt32($0) }.map(management.isNew) ?? false
    }

    /// Something went to the client that it has to answer. What it owes is bounded.
    mutating func answerIsDue() {
        uncharged = min(uncharged + 1, 10_000)
    }

    /// What a silent client is asked: for an acknowledgement, or by XEP-0199. Its answer to the latter goes to SM like
    /// any other, which so learns that the client is there.
    mutating func ping(id: String) -> ByteBuffer {
        answerIsDue()
        guard !management.isOn else { return ManagementElement.request }
        var iq = Stanza(kind: .iq, to: jid, type: "get", id: id)
        iq.from = try? JID(domain)
        iq.append(Element("ping", Namespace.ping))
        return iq.encoded
    }

    // MARK: From SM

    /// A stanza for the client as bytes, in the stream's content namespace. `now` is in nanoseconds of the loop's clock.
    mutating func deliver(
        _ tag: StanzaTag,
        _ bytes: ByteBuffer,
        number: UInt64?,
        id: ByteBufferView?,
        now: UInt64,
        into buffer: inout ByteBuffer
    ) -> Bool {
        guard phase == .session else { return false }
        buffer.writeImmutableBuffer(bytes)
        if let number {
            management.stanzaSent(number: number)
            keep.sent(bytes, id: id, now: now)
        }
        if tag.isRequest(in: bytes) { answerIsDue() }
        return true
    }

    /// A stanza for the client.
    mutating func deliver(_ stanza: Stanza, number: UInt64?, now: UInt64, into buffer: inout ByteBuffer) -> Bool {
        guard phase == .session else { return false }
        let bytes = stanza.encoded
        buffer.writeImmutableBuffer(bytes)
        if let number {
            management.stanzaSent(number: number)
            keep.sent(bytes, id: nil, now: now)
        }
        if stanza.kind == .iq, stanza.type == "get" || stanza.type == "set" { answerIsDue() }
        return true
    }

    /// Whether to write `<r/>` now, at the end of a run of stanzas.
    mutating func requestIsDue() -> Bool {
        guard phase == .session, management.requestIsDue() else { return false }
        answerIsDue()
        return true
    }

    /// The client's stanzas up to this one are settled.
    mutating func settled(_ number: UInt64) -> [Action] {
        let h = management.settled(upTo: number)
        keep.settled(upTo: management.settled)
        guard phase == .session, let h else { return [] }
        return [.send(ManagementElement.acknowledgement(h: h))]
    }

    /// SM switched stream management on.
    mutating func enabled(token: String?, max: UInt32?) -> [Action] {
        guard phase == .session else { return [] }
        let owed = management.enabled()
        pendingEnable = nil
        isResumable = token != nil
        keep.token = token
        keep.tokenSeconds = max
        var actions: [Action] = [.send(ManagementElement.enabled(token: token, max: max))]
        if let owed { actions.append(.send(ManagementElement.acknowledgement(h: owed))) }
        return actions
    }

    /// SM handed the session over to this connection.
    mutating func resumed(_ resumed: SessionMessage.Resumed) -> [Action] {
        guard case .waiting(.resume(let token)) = phase else { return [] }
        phase = .session
        pendingRequest = nil
        let freshName = sessionName
        sessionName = resumed.session
        attach = resumed.attach
        sender = StanzaSender(resumed.jid)
        isResumable = true
        keep = SessionKeep(lately: resumed.lately)
        keep.token = token
        keep.tokenSeconds = configuration.resumptionSeconds
        management = StreamManagement(
            resumedAt: resumed.next,
            handled: resumed.h,
            sent: resumed.sent,
            clientHandled: UInt32(truncatingIfNeeded: resumed.sent)
        )
        return [
            .sessionRenamed(from: freshName), .send(ManagementElement.resumed(h: resumed.h, token: token)),
            .sessionBegan(resumed.jid),
        ]
    }

    /// There is no such session any more; the client may bind a resource instead.
    mutating func resumeFailed(h: UInt32?) -> [Action] {
        guard case .waiting(.resume) = phase else { return [] }
        phase = .negotiating(.authenticated)
        pendingRequest = nil
        return [.send(ManagementElement.failed(.itemNotFound, h: h))]
    }

    /// SM ended the session.
    mutating func ended(_ end: SessionMessage.End, id: String) -> [Action] {
        guard isKnownToOwner else { return [] }
        // The owner needs no report of what it did itself.
        phase = .negotiating(.authenticated)
        if let condition = end.condition { return fail(StreamError(condition, text: end.text), id: id) }
        return self.end() + [.close(atOnce: false)]
    }
}

// MARK: - Stream management from the client

extension C2SConnectionStateMachine {
    private mutating func acknowledgementReceived(_ element: StreamElement, id: String) -> [Action] {
        guard let h = element["h"].flatMap({ UInt32($0) }) else { return fail(StreamError(.badFormat), id: id) }
        switch management.acknowledgementReceived(h: h) {
        case .acknowledged:
            keep.acknowledged(allBut: management.unacknowledged)
            return [.tellOwner(.acknowledged(h: h))]
        case .nothing: return []
        case .notEnabled: return [.send(ManagementElement.failed(.unexpectedRequest))]
        case .handledCountTooHigh(let fault): return fail(fault.streamError, id: id)
        }
    }

    private mutating func acknowledgementRequested() -> [Action] {
        if let h = management.acknowledgementRequested() {
            return [.send(ManagementElement.acknowledgement(h: h))]
        }
        // While `<enable/>` is under way the answer follows `<enabled/>`.
        return pendingEnable != nil ? [] : [.send(ManagementElement.failed(.unexpectedRequest))]
    }

    private mutating func enableReceived(_ element: StreamElement) -> [Action] {
        switch management.enableRequested() {
        case .askOwner(let before):
            let wantsResumption = ManagementElement.isResumable(element)
            let longest = configuration.resumptionSeconds
            let max = element["max"].flatMap { UInt32($0) }.map { min($0, longest) } ?? longest
            let resume = wantsResumption && longest > 0
            let enable = SessionMessage.Content.enable(resume: resume, max: resume ? max : nil, number: before)
            pendingEnable = enable
            return [.tellOwner(enable)]
        case .unexpectedRequest:
            return [.send(ManagementElement.failed(.unexpectedRequest))]
        }
    }

    mutating func resumeReceived(_ element: StreamElement) -> [Action] {
        guard let user, let token = element["previd"], let h = element["h"].flatMap({ UInt32($0) }) else {
            return [.send(ManagementElement.failed(.badRequest))]
        }
        phase = .waiting(.resume(token: token))
        let request = SessionMessage.Content.resume(
            SessionMessage.Resume(user: user, token: token, h: h, address: address, tls: tlsVersion)
        )
        pendingRequest = request
        return [.tellOwner(request)]
    }
}
