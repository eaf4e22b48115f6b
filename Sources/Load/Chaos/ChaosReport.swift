// SPDX-License-Identifier: Apache-2.0

/// A round of a chaos run as a line of JSON; docs/reliability.md explains the keys.
struct ChaosReport: Encodable {
    /// An example of a violation, with what finds it in logs and by `jackdawctl trace`.
    struct Sample: Encodable {
        let violation: String
        /// The `id` of the message.
        var message: String?
        var from: String?
        var to: String?
        var sentAt: String?
        var acknowledgedAt: String?
        var receivedAt: String?
        var text: String?
    }

    var answer: String?
    let sent: Int
    let acknowledged: Int
    let received: Int
    let errors: [String: Int]
    let violations: [String: Int]
    let samples: [Sample]
    let repeatedBySender: Int
    let repeatedInLaterSession: Int
    let arrivedAfterItsRound: Int
    let refusedAndReceived: Int
    let measured: Int
    let acknowledgedLate: Int
    let latency: [String: Double]?
    let logins: Int
    let resumptions: Int
    let refusedLogins: [String: Int]
    let unexpectedDisconnects: Int
    let departures: Int
    let unsent: Int

    init(_ verdict: ChaosVerdict, _ events: ChaosFleet.Events, _ fleet: ChaosFleet, _ clock: ChaosClock) {
        sent = verdict.sent
        acknowledged = verdict.acknowledged
        received = verdict.received
        errors = verdict.errors
        violations = Dictionary(uniqueKeysWithValues: verdict.violations.map { ($0.key.rawValue, $0.value) })
        samples = verdict.samples.map { Self.sample($0, fleet, clock) }
        repeatedBySender = verdict.repeatedBySender
        repeatedInLaterSession = verdict.repeatedInLaterSession
        arrivedAfterItsRound = verdict.arrivedAfterItsRound
        refusedAndReceived = verdict.refusedAndReceived
        measured = verdict.measured
        acknowledgedLate = verdict.acknowledgedLate
        latency = verdict.latency.percentiles
        logins = events.logins
        resumptions = events.resumptions
        refusedLogins = events.refusedLogins
        unexpectedDisconnects = events.unexpectedDisconnects
        departures = events.departures
        unsent = events.unsent
    }

    private static func sample(_ sample: ChaosVerdict.Sample, _ fleet: ChaosFleet, _ clock: ChaosClock) -> Sample {
        let parties = sample.message.map { fleet.description(of: $0) }
        return Sample(
            violation: sample.violation.rawValue,
            message: sample.message?.description,
            from: parties?.from,
            to: parties?.to,
            sentAt: sample.facts.sentAt.map(clock.text),
            acknowledgedAt: sample.facts.acknowledgedAt.map(clock.text),
            receivedAt: sample.facts.receivedAt.map(clock.text),
            text: sample.text
        )
    }

    func write(answer: String) throws {
        var report = self
        report.answer = answer
        writeLine(report)
    }
}
