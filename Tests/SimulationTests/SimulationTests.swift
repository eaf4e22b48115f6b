// SPDX-License-Identifier: Apache-2.0

import Glibc
import TestSupport
import Testing

/// The channel, settlement, hand-over and resumption together, through random schedules of faults
/// (`docs/reliability.md`).
@Suite struct SimulationTests {
    /// How many schedules are tried, from which seed on; `JACKDAW_SCHEDULES` and `JACKDAW_SEED` ask for others.
    private static let schedules = number("JACKDAW_SCHEDULES") ?? 300
    private static let firstSeed = number("JACKDAW_SEED") ?? 0

    /// So many schedules may fail before it gives up; the first one is traced.
    private static let mostFaults = 10

    private static func number(_ name: String) -> Int? {
        unsafe getenv(name).flatMap { unsafe Int(String(cString: $0)) }
    }

    @Test func `whatever breaks, what was acknowledged arrives, in order, and once in a session`() {
        var messages = 0
        var faults = 0
        for seed in Self.firstSeed..<(Self.firstSeed + Self.schedules) {
            var schedule = Schedule(seed: UInt64(seed))
            let fault = schedule.run()
            messages += schedule.messages
            guard let fault else { continue }
            faults += 1
            Issue.record("schedule \(seed): \(fault)\n\(faults == 1 ? Self.trace(seed) : "")")
            if faults == Self.mostFaults { return }
        }
        print("\(Self.schedules) schedules, \(messages) messages")
    }

    /// So many schedules may pass before a broken rule is noticed.
    private static let mostMutated = 2_000

    @Test(arguments: Mutation.allCases) func `a broken rule is noticed`(mutation: Mutation) {
        for seed in mutation.seeds + Array(Self.firstSeed..<(Self.firstSeed + Self.mostMutated)) {
            var schedule = Schedule(seed: UInt64(seed), mutation: mutation)
            guard let fault = schedule.run() else { continue }
            var sound = Schedule(seed: UInt64(seed))
            guard sound.run() == nil else { continue }
            print("\(mutation): schedule \(seed): \(fault.prefix(100))")
            return
        }
        Issue.record("nothing is noticed in \(Self.mostMutated) schedules")
    }

    /// Runs the schedule again until it fails, and gives its events. The names of sessions are random and tables have no
    /// order, so that a rare fault may take a few tries.
    private static func trace(_ seed: Int) -> String {
        for _ in 0..<50 {
            var schedule = Schedule(seed: UInt64(seed))
            if let fault = schedule.run(isTraced: true) {
                return schedule.log.joined(separator: "\n") + "\n" + fault
            }
        }
        return "it does not fail again"
    }
}
