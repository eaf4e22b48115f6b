// SPDX-License-Identifier: Apache-2.0

/// One copy of a message as it arrived.
struct Receipt: Sendable {
    let message: MessageReference
    /// The session of the sender that this copy was sent in.
    let senderSession: Int
    /// The session of the receiver that it arrived in, from bind to end, over its resumptions.
    let receiverSession: Int
    /// Of XEP-0359, as a hash; 0 for none.
    let stableID: UInt64
    /// Nanoseconds since the start.
    let time: Int64
}

/// What became of every message of a chaos run, by the clients' own records; a pure value.
///
/// What is promised, and so counted as a `Violation`, is in `ChaosVerdict`. Order is judged as messages arrive: the first
/// copies of one sender's messages come in the order of their numbers, also over several sessions of the receiver
/// (messages from the offline storage precede live ones), and so do all copies within one session of the receiver.
///
/// A sender that could not resume sends what is in doubt again in its new session. That copy is another stanza, and
/// nobody else can know: it is counted as `repeatedBySender` and is no violation.
struct ChaosRecords: Sendable {
    fileprivate static let none: Int64 = -1

    fileprivate struct Message {
        let sentAt: Int64
        var acknowledgedAt = none
        var receivedAt = none
        var stableID: UInt64 = 0
        var senderSession: Int32 = 0
        /// Of the first copy.
        var receiverSession: Int32 = 0
        /// The index of its error's condition, plus 1.
        var error: UInt8 = 0
        /// A client's own will is in the way of the acknowledgement.
        var isDisturbed = false
    }

    /// What is kept of a message of a round that is over: enough to know another copy.
    fileprivate struct Closed {
        let stableID: UInt64
        let senderSession: Int32
        let receiverSession: Int32
    }

    fileprivate struct Sessions: Hashable, CustomStringConvertible {
        let sender: Int
        let receiver: Int

        var description: String { "\(sender) of the sender, \(receiver) of the receiver" }
    }

    fileprivate struct Pair {
        var closed: [Closed] = []
        var open: [Message] = []
        /// The highest number that arrived.
        var highest = -1
        /// Likewise within one session of each.
        var highestInSession: [Sessions: Int] = [:]
    }

    private var pairs: [Pair]
    /// Where copies after the first one arrived, of messages of this round: rare.
    private var furtherSessions: [MessageReference: Set<Sessions>] = [:]
    private var conditions: [String] = []
    /// Of this round so far.
    private(set) var verdict = ChaosVerdict()
    /// Sent in this round and neither acknowledged nor refused.
    private(set) var unresolved = 0

    init(pairs: Int) {
        self.pairs = Array(repeating: Pair(), count: pairs)
    }

    /// A message is sent for the first time.
    mutating func sent(pair: Int, at time: Int64) -> MessageReference {
        let number = pairs[pair].closed.count + pairs[pair].open.count
        pairs[pair].open.append(Message(sentAt: time))
        verdict.sent += 1
        unresolved += 1
        return MessageReference(pair: pair, number: number)
    }

    /// The sender's server acknowledged it.
    mutating func acknowledged(_ message: MessageReference, at time: Int64) {
        update(message) { records, entry in
            guard entry.acknowledgedAt == Self.none else { return }
            if entry.error == 0 { records.unresolved -= 1 }
            entry.acknowledgedAt = time
            records.verdict.acknowledged += 1
        }
    }

    /// It came back as an error.
    mutating func refused(_ message: MessageReference, condition: String) {
        let index = conditions.firstIndex(of: condition) ?? conditions.count
        if index == conditions.count, index < 250 { conditions.append(condition) }
        update(message) { records, entry in
            guard entry.error == 0 else { return }
            if entry.acknowledgedAt == Self.none { records.unresolved -= 1 }
            entry.error = UInt8(min(index, 250) + 1)
            records.verdict.errors[condition, default: 0] += 1
        }
    }

    /// The sender drops its connection, or the receiver is silent: how long the acknowledgement takes says nothing.
    mutating func disturbed(_ message: MessageReference) {
        update(message) { $1.isDisturbed = true }
    }

    /// Something that is no message's.
    mutating func note(_ violation: ChaosVerdict.Violation, _ message: MessageReference? = nil, text: String) {
        verdict.note(violation, message, text: text)
    }

    /// How long ago the oldest of these was sent, in nanoseconds; nil for none that is open and undisturbed.
    func age(of messages: some Sequence<MessageReference>, at now: Int64) -> Int64? {
        messages.lazy.compactMap { self.message($0) }
            .filter { $0.acknowledgedAt == Self.none && $0.error == 0 && !$0.isDisturbed }
            .map { now - $0.sentAt }.max()
    }

    private func message(_ reference: MessageReference) -> Message? {
        guard pairs.indices.contains(reference.pair) else { return nil }
        let index = reference.number - pairs[reference.pair].closed.count
        return pairs[reference.pair].open.indices.contains(index) ? pairs[reference.pair].open[index] : nil
    }

    private mutating func update(_ reference: MessageReference, _ change: (inout Self, inout Message) -> Void) {
        guard var entry = message(reference) else { return }
        change(&self, &entry)
        pairs[reference.pair].open[reference.number - pairs[reference.pair].closed.count] = entry
    }
}

// MARK: - Receipts

extension ChaosRecords {
    /// A copy arrived.
    mutating func received(_ receipt: Receipt) {
        let (pair, number) = (receipt.message.pair, receipt.message.number)
        guard pairs.indices.contains(pair), number < pairs[pair].closed.count + pairs[pair].open.count else {
            return verdict.note(.unknown, receipt.message)
        }
        let copy = noteCopy(receipt)
        judgeOrder(receipt, copy)
    }

    private enum Copy {
        /// The first one of the message.
        case first
        /// The first one between these two sessions.
        case firstInSessions
        case again
    }

    private mutating func noteCopy(_ receipt: Receipt) -> Copy {
        let reference = receipt.message
        let index = reference.number - pairs[reference.pair].closed.count
        guard index >= 0 else {
            return noteLateCopy(receipt, of: pairs[reference.pair].closed[reference.number])
        }
        var entry = pairs[reference.pair].open[index]
        if entry.receivedAt == Self.none {
            entry.receivedAt = receipt.time
            entry.stableID = receipt.stableID
            entry.senderSession = Int32(receipt.senderSession)
            entry.receiverSession = Int32(receipt.receiverSession)
            pairs[reference.pair].open[index] = entry
            verdict.received += 1
            return .first
        }
        let sessions = Sessions(sender: receipt.senderSession, receiver: receipt.receiverSession)
        let first = Sessions(sender: Int(entry.senderSession), receiver: Int(entry.receiverSession))
        guard sessions != first, furtherSessions[reference, default: []].insert(sessions).inserted else {
            verdict.note(.doubled, reference, entry.facts, text: "sessions \(sessions)")
            return .again
        }
        noteFurtherCopy(receipt, ofSession: Int(entry.senderSession), stableID: entry.stableID)
        return .firstInSessions
    }

    /// A further copy of a message of an earlier round.
    private mutating func noteLateCopy(_ receipt: Receipt, of closed: Closed) -> Copy {
        if closed.receiverSession == 0 {
            verdict.arrivedAfterItsRound += 1
        } else if closed.senderSession == receipt.senderSession, closed.receiverSession == receipt.receiverSession {
            verdict.note(.doubled, receipt.message)
        } else {
            noteFurtherCopy(receipt, ofSession: Int(closed.senderSession), stableID: closed.stableID)
        }
        return .again
    }

    private mutating func noteFurtherCopy(_ receipt: Receipt, ofSession session: Int, stableID: UInt64) {
        if receipt.senderSession != session {
            verdict.repeatedBySender += 1
        } else if receipt.stableID != stableID {
            verdict.note(.doubledWithAnotherID, receipt.message, .init(receivedAt: receipt.time))
        } else {
            verdict.repeatedInLaterSession += 1
        }
    }

    private mutating func judgeOrder(_ receipt: Receipt, _ copy: Copy) {
        let (pair, number) = (receipt.message.pair, receipt.message.number)
        let sessions = Sessions(sender: receipt.senderSession, receiver: receipt.receiverSession)
        let highest = pairs[pair].highestInSession[sessions, default: -1]
        let isOvertaken =
            switch copy {
            case .first: number < max(pairs[pair].highest, highest)
            case .firstInSessions: number < highest
            case .again: false
            }
        if isOvertaken {
            let others = "\(highest) there and \(pairs[pair].highest) anywhere"
            let text = "\(copy) copy, in sessions \(sessions), after \(others)"
            verdict.note(.reordered, receipt.message, .init(receivedAt: receipt.time), text: text)
        }
        pairs[pair].highest = max(pairs[pair].highest, number)
        pairs[pair].highestInSession[sessions] = max(highest, number)
    }
}

// MARK: - The end of a round

extension ChaosRecords {
    /// Ends the round: what has come of its messages, after all that could come has come.
    ///
    /// - Parameter faults: when something was being disturbed, as times since the start; messages that were sent then,
    ///   or up to a second before, are not asked for the time that their acknowledgement took.
    /// - Returns: the verdict.
    mutating func endRound(faults: [Range<Int64>]) -> ChaosVerdict {
        for pair in pairs.indices {
            let first = pairs[pair].closed.count
            for (index, message) in pairs[pair].open.enumerated() {
                judge(message, MessageReference(pair: pair, number: first + index), faults)
                pairs[pair].closed.append(
                    Closed(
                        stableID: message.stableID,
                        senderSession: message.senderSession,
                        receiverSession: message.receivedAt == Self.none ? 0 : message.receiverSession
                    )
                )
            }
            pairs[pair].open.removeAll(keepingCapacity: true)
            if pairs[pair].highestInSession.count > 1 { pairs[pair].forgetOldSessions() }
        }
        furtherSessions.removeAll()
        unresolved = 0
        defer { verdict = ChaosVerdict() }
        return verdict
    }

    private mutating func judge(_ message: Message, _ reference: MessageReference, _ faults: [Range<Int64>]) {
        let isAcknowledged = message.acknowledgedAt != Self.none
        if !isAcknowledged, message.error == 0 {
            verdict.note(.unresolved, reference, message.facts)
        } else if isAcknowledged, message.error == 0, message.receivedAt == Self.none {
            verdict.note(.lost, reference, message.facts)
        }
        if message.error > 0, message.receivedAt != Self.none { verdict.refusedAndReceived += 1 }
        guard !message.isDisturbed, message.error == 0 else { return }
        let second: Int64 = 1_000_000_000
        let measured = message.sentAt..<(message.sentAt + second)
        guard !faults.contains(where: { $0.overlaps(measured) }) else { return }
        verdict.measured += 1
        if isAcknowledged { verdict.latency.record(message.acknowledgedAt - message.sentAt) }
        if !isAcknowledged || message.acknowledgedAt - message.sentAt > second { verdict.acknowledgedLate += 1 }
    }
}

extension ChaosRecords.Pair {
    /// What arrives in a session that is over is none.
    fileprivate mutating func forgetOldSessions() {
        guard let receiver = highestInSession.keys.map(\.receiver).max() else { return }
        highestInSession = highestInSession.filter { $0.key.receiver == receiver }
    }
}

extension ChaosRecords.Message {
    fileprivate var facts: ChaosVerdict.Facts {
        .init(
            sentAt: sentAt,
            acknowledgedAt: acknowledgedAt == -1 ? nil : acknowledgedAt,
            receivedAt: receivedAt == -1 ? nil : receivedAt
        )
    }
}
