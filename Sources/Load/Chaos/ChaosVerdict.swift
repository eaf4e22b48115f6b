// SPDX-License-Identifier: Apache-2.0

/// What a round of a chaos run found out; a violation breaks a promise of the server.
struct ChaosVerdict: Sendable {
    enum Violation: String, CaseIterable, Sendable {
        /// Acknowledged, no error, and never received.
        case lost
        /// Neither acknowledged nor answered with an error.
        case unresolved
        /// Received twice within one session of the receiver.
        case doubled
        /// Received in two sessions, with different stable ids.
        case doubledWithAnotherID
        /// Received after a later one of the same sender.
        case reordered
        /// Received by somebody else, or never sent.
        case unknown
        /// An `h` that takes back what was acknowledged, or acknowledges what was never sent.
        case impossibleAcknowledgement
        /// A session that could be resumed was not.
        case failedResumption
        /// A client that could not get back to its session, nor to a new one, before the round's end.
        case absent
    }

    /// Times in nanoseconds since the start.
    struct Facts: Equatable, Sendable {
        var sentAt: Int64?
        var acknowledgedAt: Int64?
        var receivedAt: Int64?
    }

    /// One message, or one client, as an example of a violation.
    struct Sample: Equatable, Sendable {
        let violation: Violation
        var message: MessageReference?
        var facts = Facts()
        var text: String?
    }

    /// Of each violation.
    static let sampleLimit = 5

    var sent = 0
    var acknowledged = 0
    /// Messages, not copies.
    var received = 0
    /// By condition.
    var errors: [String: Int] = [:]
    var violations: [Violation: Int] = [:]
    var samples: [Sample] = []
    /// Further copies that are the sender's own doing: it could not know whether the first had arrived.
    var repeatedBySender = 0
    /// Further copies with the same stable id in another session of the receiver.
    var repeatedInLaterSession = 0
    /// Messages that had been counted as lost or unresolved at the end of their round.
    var arrivedAfterItsRound = 0
    var refusedAndReceived = 0
    /// Messages that were sent outside faults, and those of them that were not acknowledged within a second.
    var measured = 0
    var acknowledgedLate = 0
    /// Of the acknowledgements of what was measured.
    var latency = LatencyHistogram()

    /// Counts a violation, and keeps it as an example if there are few.
    mutating func note(
        _ violation: Violation,
        _ message: MessageReference?,
        _ facts: Facts = .init(),
        text: String? = nil
    ) {
        violations[violation, default: 0] += 1
        guard violations[violation, default: 0] <= Self.sampleLimit else { return }
        samples.append(Sample(violation: violation, message: message, facts: facts, text: text))
    }
}
