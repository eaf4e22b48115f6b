// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import DequeModule
import NIOCore
import XMPPCore

/// How fast stanzas leave the server: no faster than its link to the router writes, since a link whose queue is full
/// is reset, and then every client loses its connection.
///
/// A stanza goes out at once while the link is not busy, its C2S reads (`InstanceFlow`) and nothing waits before it.
/// Else it waits: in the outbox of its session, or for other domains in `outside`. One drain empties all of these in
/// turn, a slice of each, as the link writes. Each has a bound of its own: a session whose outbox is full ends, what
/// does not fit into `outside` is refused.
extension SMServer {
    /// Above so many bytes on the link nothing is added to it; a quarter of what it holds.
    static let congestion = 4 << 20
    /// What one queue may send before it is the next one's turn.
    private static let slice = 64 << 10
    /// How often the link is looked at while something waits for it.
    private static let interval = TimeAmount.milliseconds(5)

    var isLinkBusy: Bool { link.queuedBytes >= Self.congestion }

    /// What waits in the session's outbox is sent in its turn, as soon as the client may be sent more.
    func pace(_ session: Session) {
        if session.outbox.hasNext { queue(session) }
    }

    /// The session gets its turn, if only to read on from the spool.
    func queue(_ session: Session) {
        guard !session.isPaced else { return }
        session.isPaced = true
        paced.append(session)
        schedulePacing()
    }

    /// For a domain that is not ours. The stanza is in custody until the link takes it.
    func sendOutside(_ passage: Passage) {
        guard passage.stanza.encodedSize <= largestStanza else {
            return replyError(to: passage, StanzaError(.policyViolation, text: "the stanza is too large"))
        }
        if let pair = federationPair(of: passage), forwardOutside(passage, pair) { return }
        if outside.isEmpty, !isLinkBusy {
            if !link.send(passage.stanza) { replyError(to: passage, StanzaError(.remoteServerTimeout, type: .wait)) }
            return
        }
        guard outside.append(passage) else { return refuseOutside(passage, .overloaded) }
        passage.hold()
        schedulePacing()
    }

    /// The link is gone, and with it what waited for it.
    func failOutside() {
        var failed = outside
        outside = PassageQueue()
        while let passage = failed.popFirst() {
            refuseOutside(passage, StanzaError(.remoteServerTimeout, type: .wait))
            passage.release()
        }
    }

    /// The errors of a broadcast would be as many as its presence: it is dropped.
    private func refuseOutside(_ passage: Passage, _ error: StanzaError) {
        if passage.stanza.kind != .presence { replyError(to: passage, error) }
    }

    private func schedulePacing() {
        guard !isPacingScheduled else { return }
        isPacingScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.interval) {
            self.isPacingScheduled = false
            self.sendPaced()
        }
    }

    /// Sends what waits, until the link is busy.
    func sendPaced() {
        while !isLinkBusy {
            let hadOutside = sendOutsideSlice()
            guard let session = paced.popFirst() else {
                if hadOutside { continue }
                return
            }
            if session.flow.isBusy {
                session.flow.stall(session)
            } else {
                session.isPaced = false
                sendSlice(of: session)
            }
        }
        if !paced.isEmpty || !outside.isEmpty { schedulePacing() }
    }

    private func sendSlice(of session: Session) {
        var left = Self.slice
        while left > 0, let (number, entry) = session.outbox.next() {
            left -= entry.size
            tell(session, entry.payload, number)
        }
        pingIfSilent(session)
        pace(session)
        if session.outbox.queue.isEmpty { continueReading(into: session) }
    }

    /// False when there was nothing.
    private func sendOutsideSlice() -> Bool {
        guard !outside.isEmpty else { return false }
        var left = Self.slice
        while left > 0, let passage = outside.popFirst() {
            left -= passage.stanza.encodedSize
            if !link.send(passage.stanza) { replyError(to: passage, StanzaError(.remoteServerTimeout, type: .wait)) }
            passage.release()
        }
        return true
    }
}

// MARK: - What a C2S has read

extension SMServer {
    /// The flow to a C2S; a new one when it was reset.
    func flow(of instance: String) -> InstanceFlow {
        if let flow = flows[instance] { return flow }
        let flow = InstanceFlow(instance: instance)
        flows[instance] = flow
        return flow
    }

    /// The session's stanzas go to this C2S from now on, whatever the former one has still to read.
    func route(_ session: Session, to instance: String) {
        if session.flow.release(session) { session.isPaced = false }
        session.flow = flow(of: instance)
    }

    func askForEcho(_ flow: InstanceFlow) {
        let id = nextRequestID()
        flow.ask(id: id)
        link.send(AdminRequest(id: id, command: "echo"), to: flow.instance)
    }

    /// An instance answered: it has read what was sent before the question.
    func received(_ response: AdminResponse, from instance: String) {
        guard let flow = flows[instance] else { return }
        flow.echoed(id: response.id)
        if flow.isEchoDue { askForEcho(flow) }
        if !flow.isBusy { resume(flow) }
    }

    /// The instance is gone, or is not the one that it was: what it did not read is nobody's to wait for. Its sessions
    /// are broken by now.
    func resetFlow(of instance: String) {
        guard let flow = flows.removeValue(forKey: instance) else { return }
        flow.end()
        resume(flow)
    }

    private func resume(_ flow: InstanceFlow) {
        let stalled = flow.takeStalled()
        guard !stalled.isEmpty else { return }
        paced.append(contentsOf: stalled)
        sendPaced()
    }
}

/// Stanzas that wait for the link, in order.
struct PassageQueue {
    private(set) var passages: Deque<Passage> = []
    private(set) var bytes = 0
    private let maximumBytes: Int

    init(maximumBytes: Int = 16 << 20) {
        self.maximumBytes = maximumBytes
    }

    var isEmpty: Bool { passages.isEmpty }

    /// False at the bound. A single stanza is always taken.
    mutating func append(_ passage: Passage) -> Bool {
        let size = Self.size(of: passage)
        guard passages.isEmpty || bytes + size <= maximumBytes else { return false }
        passage.stanza = passage.stanza.compacted()
        passages.append(passage)
        bytes += size
        return true
    }

    mutating func popFirst() -> Passage? {
        guard let passage = passages.popFirst() else { return nil }
        bytes -= Self.size(of: passage)
        return passage
    }

    private static func size(of passage: Passage) -> Int { passage.stanza.encodedSize + 256 }
}
