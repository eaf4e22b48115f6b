// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import NIOCore

struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Pairs of clients chat; reports messages per second and how long they took.",
        discussion: """
            Without --rate it is a closed loop: each pair keeps --window messages under way, as fast as they are \
            delivered. With --rate it is an open loop: messages are due at fixed times, whatever happens to those \
            before, and latencies are counted from these times (no coordinated omission).
            """
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Pairs of clients.") var pairs = 100
    @Option(help: "Closed loop: messages of a pair that are under way at a time.") var window = 10
    @Option(help: "Open loop: messages per second of all pairs together.") var rate: Double?
    @Option(help: "Bytes of a body.") var bodyBytes = 100
    @Option(help: "Further clients that are logged in and idle.") var idleClients = 0
    @Option(help: "Seconds before the measurement.") var warmUp = 3
    @Option(help: "Seconds of measurement.") var seconds = 10

    func validate() throws {
        guard pairs > 0, window > 0, rate.map({ $0 > 0 }) ?? true else {
            throw ValidationError("--pairs, --window and --rate are above zero")
        }
    }

    func run() async throws {
        let generator = try await Generator(options)
        let pace = rate.map { ChatPhase.Pace.openLoop(messagesPerSecond: $0) } ?? .closedLoop(window: window)
        let phase = try await generator.make { [eventLoop = generator.eventLoop, bodyBytes] in
            ChatPhase(pace, bodyBytes: bodyBytes, on: eventLoop)
        }
        var pools: [Generator.Pool] = []
        if idleClients > 0 {
            let row = ClientPool.Row(first: 2 * pairs + 1, count: idleClients, plan: options.plan)
            pools.append(try await generator.logIn(row).pool)
        }
        let row = ClientPool.Row(count: 2 * pairs, plan: options.plan)
        let pool = try await generator.logIn(row) { phase.value }.pool
        try await Task.sleep(for: .seconds(warmUp))
        var report = try await measure(phase, generator)
        try await pool.complete(&report, options)
        try report.write()
        for pool in pools + [pool] { try await pool.close() }
    }

    private func measure(_ phase: NIOLoopBound<ChatPhase>, _ generator: Generator) async throws -> LoadReport {
        let accounting = Accounting(options.process)
        try await generator.onLoop { phase.value.beginMeasurement() }
        let started = ContinuousClock.now
        try await withProgress {
            let counts = (try? await generator.onLoop { phase.value.counts }) ?? DeliveryCounts()
            let rate = Double(counts.delivered) / (ContinuousClock.now - started).inSeconds
            return "chat: \(Int(rate)) messages/s, p50 \(Double(counts.latency.value(atShare: 0.5)) / 1e6) ms"
        } during: {
            try await Task.sleep(for: .seconds(seconds))
        }
        let delivered = try await generator.onLoop {
            phase.value.endMeasurement()
            return phase.value.counts.delivered
        }
        let elapsed = (ContinuousClock.now - started).inSeconds
        var report = LoadReport(mode: "chat", unit: "message", clients: 2 * pairs + idleClients, seconds: elapsed)
        accounting.finish(&report, units: delivered)
        report.units = delivered
        report.unitsPerSecond = Double(delivered) / elapsed
        try await generator.onLoop { phase.value.stopSending() }
        for _ in 0..<100 where try await generator.onLoop({ phase.value.underWay }) > 0 {
            try await Task.sleep(for: .milliseconds(100))
        }
        report.take(
            try await generator.onLoop { phase.value.counts },
            lost: try await generator.onLoop { phase.value.underWay }
        )
        if rate != nil { report.lateness = try await generator.onLoop { phase.value.lateness.percentiles } }
        return report
    }
}
