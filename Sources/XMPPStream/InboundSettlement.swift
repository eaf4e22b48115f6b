// SPDX-License-Identifier: Apache-2.0

/// The numbers of the stanzas that a session's client sent: received in order, settled in any order, reported as
/// the unbroken run of settled ones (`docs/protocols.md` section 2, XEP-0198 §4).
///
/// | number n | `received(n)` |
/// | --- | --- |
/// | above all, or in a hole | `.new` |
/// | received, still unsettled | `.duplicate` (it is settled when the first one is) |
/// | settled | `.duplicate`, and the run is reported again |
/// | more than `window` above the run, or 0 | `.refused` |
///
/// While numbers arrive and are settled in order, as nearly all do, three counters tell everything.
///
/// A pure value: no I/O, no time.
package struct InboundSettlement: Equatable, Sendable {
    package enum Reception: Equatable, Sendable {
        case new
        case duplicate
        case refused
    }

    /// Every stanza up to this number is settled.
    package private(set) var run: UInt64 = 0
    /// The value of `run` that was reported last.
    package private(set) var reported: UInt64 = 0
    /// Every stanza up to this number was received; never below `run`.
    private var received: UInt64 = 0
    /// Received beyond a hole.
    private var beyond: Set<UInt64> = []
    /// Settled, but above a hole or an unsettled one.
    private var ahead: Set<UInt64> = []
    private let window: UInt64

    /// `run` is what is settled already, of a session that was another SM's.
    package init(window: UInt64 = 65_536, run: UInt64 = 0) {
        self.window = window
        self.run = run
        received = run
        reported = run
    }

    /// What is settled beyond this number is reported once more.
    package mutating func repeatReport(above number: UInt64) {
        reported = min(reported, number)
    }

    /// How many stanzas are received and not settled.
    package var openCount: Int { Int(clamping: received - run) + beyond.count - ahead.count }

    package mutating func received(_ number: UInt64) -> Reception {
        guard number > run else {
            // The sender did not hear that it is settled: say it again.
            if number > 0 { reported = min(reported, number - 1) }
            return number > 0 ? .duplicate : .refused
        }
        guard number - run <= window else { return .refused }
        guard number > received else { return .duplicate }
        guard number == received + 1 else { return beyond.insert(number).inserted ? .new : .duplicate }
        received = number
        if !beyond.isEmpty { fillHole() }
        return .new
    }

    private mutating func fillHole() {
        while beyond.remove(received + 1) != nil { received += 1 }
    }

    /// The stanza is delivered, stored or answered with an error. Numbers that are not open are ignored.
    package mutating func settled(_ number: UInt64) {
        guard number > run, number <= received || beyond.contains(number) else { return }
        guard number == run + 1 else {
            ahead.insert(number)
            return
        }
        run = number
        if !ahead.isEmpty { joinAhead() }
    }

    private mutating func joinAhead() {
        while ahead.remove(run + 1) != nil { run += 1 }
    }

    /// The run, when it grew since the last report.
    package mutating func report() -> UInt64? {
        guard run > reported else { return nil }
        reported = run
        return run
    }

    /// The `h` of XEP-0198 for counters that started after `base` stanzas.
    package func acknowledgement(since base: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: run >= base ? run - base : 0)
    }
}
