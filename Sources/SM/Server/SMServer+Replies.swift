// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import XML
import XMPPCore
import XMPPStream

/// An IQ request that the server itself made.
struct PendingRequest {
    let to: JID
    let completion: (Stanza?) -> Void
    let timeout: Scheduled<Void>
}

/// Answers, errors, the server's own requests, and the reports of what is settled.
extension SMServer {
    // MARK: - Answers

    /// Answers an IQ request with a result; with an error where that would be too long for the link.
    func reply(to passage: Passage, _ payload: Element? = nil) {
        let answer = passage.stanza.reply(result: payload)
        // A quarter is left for the envelope.
        guard answer.payload.readableBytes <= configuration.router.limits.internalStanzaBytes / 4 * 3 else {
            logger.warning(
                "an answer is too long to be sent",
                metadata: ["jid": "\(answer.to?.description ?? "")", "bytes": "\(answer.payload.readableBytes)"]
            )
            let error = StanzaError(.resourceConstraint, type: .cancel, text: "the answer is too long to be sent")
            return replyError(to: passage, error)
        }
        send(answer, inAnswerTo: passage)
    }

    /// Answers a stanza with an error; nothing is sent in answer to an error or a result.
    func replyError(to passage: Passage, _ error: StanzaError) {
        guard let stanza = passage.stanza.error(error) else { return }
        metrics.errorsSent.increment()
        answer(passage, withError: stanza)
    }

    /// Gives a stanza's sender its error. Of a forwarded one the SM does that which forwarded it.
    func answer(_ passage: Passage, withError stanza: Stanza) {
        if let origin = passage.origin {
            let failed = SessionMessage(.handover(.failed(token: origin.token, stanza: stanza)))
            link.send(failed, to: origin.instance)
            return
        }
        guard passage.stanza.kind == .message, passage.isCounted, let session = passage.session,
            session.state != .ended
        else { return send(stanza, inAnswerTo: passage) }
        keepError(stanza, passage, for: session)
    }

    /// The error of a message is kept like a message: until then its sender may not take it for handled.
    private func keepError(_ stanza: Stanza, _ passage: Passage, for session: Session) {
        let outgoing = Outgoing(
            stanza: stanza,
            received: now(),
            stableID: "\(passage.stableID)e",
            passage: passage
        )
        if !put(outgoing, .error, into: [session.resource], of: session.user) { keep(outgoing, for: session.user) }
    }

    /// Sends a stanza to the sender of another one.
    func send(_ stanza: Stanza, inAnswerTo passage: Passage) {
        guard let session = passage.session else {
            if stanza.to != nil { route(stanza) }
            return
        }
        guard session.state != .ended else { return }
        send(stanza, to: session)
    }

    // MARK: - The server's own requests

    /// Sends an IQ request, routed or by a way of its own, and gives its answer; nil when none came in time.
    func request(
        _ payload: Element,
        type: String = "get",
        from domain: String,
        to: JID,
        timeout: TimeAmount = .seconds(30),
        by way: ((Stanza) -> Void)? = nil,
        completion: @escaping (Stanza?) -> Void
    ) {
        guard let from = try? JID(local: nil, domain: domain, resource: nil) else { return completion(nil) }
        let id = nextRequestID()
        let timer = eventLoop.assumeIsolated().scheduleTask(in: timeout) {
            guard let request = self.requests.removeValue(forKey: id) else { return }
            request.completion(nil)
        }
        requests[id] = PendingRequest(to: to, completion: completion, timeout: timer)
        let stanza = Stanza(kind: .iq, to: to, from: from, type: type, id: id, payload: [payload])
        if let way { way(stanza) } else { route(stanza) }
    }

    /// A result or an error for the server or an account: the answer to a request of ours, or a ghost, which is
    /// dropped.
    func answered(_ stanza: Stanza) {
        guard let id = stanza.id, let request = requests[id], request.to == stanza.from else { return }
        requests[id] = nil
        request.timeout.cancel()
        request.completion(stanza)
    }

    // MARK: - Settlement

    /// Nobody holds the stanza of a client any more: it is stored, delivered or answered.
    func settled(_ passage: Passage) {
        guard let session = passage.session else {
            if let origin = passage.origin {
                forwarded.settled(origin)
                scheduleForwardedReport()
            }
            return
        }
        session.settlement.settled(passage.number)
        scheduleReport(session)
    }

    /// Reports are sent at the end of a burst, one for each session.
    func scheduleReport(_ session: Session) {
        guard !session.reportIsDue, session.outbox.isCounting || session.isStateDirty else { return }
        session.reportIsDue = true
        reports.append(session)
        guard !reportIsScheduled else { return }
        reportIsScheduled = true
        eventLoop.assumeIsolated().execute { self.sendReports() }
    }

    func sendReports() {
        reportIsScheduled = false
        let due = reports
        reports.removeAll(keepingCapacity: true)
        for session in due {
            session.reportIsDue = false
            guard session.isAttached else { continue }
            // Before it tells that the stanza is settled which changed it.
            if session.isStateDirty { tell(session, session.takeState()) }
            guard session.outbox.isCounting, let number = session.settlement.report() else { continue }
            tell(session, .settled(number: number))
        }
        reportForwarded()
    }

    // MARK: - Stream features

    /// What SM adds to the features after login, as bytes for a client's stream.
    func streamFeatures(for domain: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        for module in chain.modules {
            for feature in module.streamFeatures(for: domain) {
                feature.write(to: &buffer, inheriting: Namespace.client)
            }
        }
        return buffer
    }
}
