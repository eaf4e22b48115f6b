// SPDX-License-Identifier: Apache-2.0

/// When each message of a fixed rate is due, whatever happened to those before it.
///
/// Latencies are counted from these times, not from the times of the writes: where the server or the generator falls
/// behind, the wait is a part of every latency (no coordinated omission). Times are nanoseconds since the start of the
/// run.
struct OpenLoopSchedule: Sendable {
    private let start: Int64
    private let rate: Double
    private(set) var next = 0

    init(start: Int64, messagesPerSecond rate: Double) {
        self.start = start
        self.rate = rate
    }

    func time(of index: Int) -> Int64 { start + Int64(Double(index) * 1e9 / rate) }

    var nextTime: Int64 { time(of: next) }

    /// The messages that have become due by `now`; each is handed out once.
    mutating func due(at now: Int64) -> Range<Int> {
        let first = next
        while nextTime <= now { next += 1 }
        return first..<next
    }
}
