// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore

/// The commands of a chaos run, which come by stdin, and their answers, a line of JSON each.
struct ChaosControl: Sendable {
    let fleet: NIOLoopBound<ChaosFleet>
    let generator: Generator
    let clock: ChaosClock

    /// What comes by stdin, until its end.
    static func lines() -> AsyncStream<String> {
        AsyncStream { continuation in
            Thread.detachNewThread {
                while let line = readLine() { continuation.yield(line) }
                continuation.finish()
            }
        }
    }

    /// False for the end.
    func obey(_ line: String) async throws -> Bool {
        let words = line.split(separator: " ")
        let number = words.dropFirst().first.flatMap { Int($0) } ?? 0
        let fleet = fleet
        switch words.first {
        case "go": try await generator.onLoop { fleet.value.resumeSending() }
        case "fault": try await generator.onLoop { fleet.value.faultBegan() }
        case "calm": try await generator.onLoop { fleet.value.faultEnded() }
        case "drop":
            let dropped = try await generator.onLoop { fleet.value.drop(number) }
            ChaosLine(answer: line, ["dropped": dropped]).write()
            return true
        case "status": break
        case "pause": return try await pause(line, seconds: max(number, 1))
        case "report":
            let clock = clock
            let report = try await generator.onLoop { fleet.value.report(clock) }
            try report.write(answer: line)
            return true
        case "quit": return false
        default:
            ChaosLine(answer: line, [:], error: "unknown command").write()
            return true
        }
        ChaosLine(answer: line, try await generator.onLoop { fleet.value.counts }).write()
        return true
    }

    private func pause(_ line: String, seconds: Int) async throws -> Bool {
        let fleet = fleet
        try await generator.onLoop { fleet.value.stopSending() }
        let started = ContinuousClock.now
        var isAtRest = false
        while !isAtRest, ContinuousClock.now - started < .seconds(seconds) {
            try await Task.sleep(for: .milliseconds(100))
            isAtRest = try await generator.onLoop { fleet.value.isAtRest }
        }
        var counts = try await generator.onLoop { fleet.value.counts }
        counts["rested"] = isAtRest ? 1 : 0
        ChaosLine(answer: line, counts).write()
        return true
    }
}

extension ChaosFleet {
    /// How it stands now.
    var counts: [String: Int] {
        let time = now
        let unacknowledged = clients.map(\.unacknowledged)
        // Those who are away cannot know.
        let oldest =
            clients.filter(\.isOnline).compactMap { records.age(of: $0.unacknowledged, at: time) }.max() ?? 0
        return [
            "online": clients.count(where: \.isOnline),
            "away": clients.count(where: \.isAway),
            "unresolved": records.unresolved,
            "inFlight": unacknowledged.reduce(0) { $0 + $1.count },
            "oldestMilliseconds": Int(oldest / 1_000_000),
            "sent": records.verdict.sent,
            "errors": records.verdict.errors.values.reduce(0, +),
            "violations": records.verdict.violations.values.reduce(0, +),
        ]
    }

    func report(_ clock: ChaosClock) -> ChaosReport {
        let (verdict, events) = endRound()
        return ChaosReport(verdict, events, self, clock)
    }
}

/// One line to the script that drives the run.
struct ChaosLine: Encodable {
    var answer: String?
    var counts: [String: Int]?
    var error: String?
    /// Of a connection that broke against the client's will.
    var disconnected: Int?
    var time: String?
    var port: Int?
    /// Of a client at the suite that is left alone.
    var isRemote: Bool?
    var reason: String?

    init(answer: String, _ counts: [String: Int], error: String? = nil) {
        (self.answer, self.counts, self.error) = (answer, counts, error)
    }

    init(_ disconnect: ChaosFleet.Disconnect, _ clock: ChaosClock) {
        disconnected = disconnect.client
        time = clock.text(disconnect.time)
        port = disconnect.localPort
        isRemote = disconnect.isRemote
        reason = disconnect.reason
    }

    func write() { writeLine(self) }
}

/// Whole lines, at once: a pipe would keep them.
func writeLine(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard var data = try? encoder.encode(value) else { return }
    data.append(UInt8(ascii: "\n"))
    FileHandle.standardOutput.write(data)
}
