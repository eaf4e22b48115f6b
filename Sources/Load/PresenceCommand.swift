// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import NIOCore

struct PresenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presence",
        abstract: "Clients change their status, and all their contacts see it; reports deliveries per second.",
        discussion: "The contacts must be there: jackdaw-load prepare --contacts."
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Number of clients.") var clients = 200
    @Option(help: "Contacts of each; an even number, as it was prepared.") var contacts = 50
    @Option(help: "Clients whose change of status is under way at a time.") var window = 20
    @Option(help: "Seconds before the measurement.") var warmUp = 3
    @Option(help: "Seconds of measurement.") var seconds = 10

    func validate() throws {
        guard contacts > 0, contacts.isMultiple(of: 2), contacts < clients, window > 0 else {
            throw ValidationError("--contacts is even and below --clients, and --window is above zero")
        }
    }

    func run() async throws {
        let generator = try await Generator(options)
        let ring = ContactRing(clients: clients, contacts: contacts)
        let phase = try await generator.make { [window, prefix = options.prefix] in
            PresencePhase(ring, window: window, prefix: prefix)
        }
        let row = ClientPool.Row(count: clients, plan: options.plan)
        let pool = try await generator.logIn(row) { phase.value }.pool
        try await Task.sleep(for: .seconds(warmUp))
        var report = try await measure(phase, generator)
        try await pool.complete(&report, options)
        try report.write()
        try await pool.close()
    }

    private func measure(_ phase: NIOLoopBound<PresencePhase>, _ generator: Generator) async throws -> LoadReport {
        let accounting = Accounting(options.process)
        try await generator.onLoop { phase.value.beginMeasurement() }
        let started = ContinuousClock.now
        try await withProgress {
            let counts = (try? await generator.onLoop { phase.value.counts }) ?? DeliveryCounts()
            return "presence: \(Int(Double(counts.delivered) / (ContinuousClock.now - started).inSeconds)) deliveries/s"
        } during: {
            try await Task.sleep(for: .seconds(seconds))
        }
        let delivered = try await generator.onLoop { phase.value.counts.delivered }
        let elapsed = (ContinuousClock.now - started).inSeconds
        var report = LoadReport(mode: "presence", unit: "delivery", clients: clients, seconds: elapsed)
        accounting.finish(&report, units: delivered)
        report.units = delivered
        report.unitsPerSecond = Double(delivered) / elapsed
        try await generator.onLoop { phase.value.stopSending() }
        for _ in 0..<100 where try await generator.onLoop({ phase.value.underWay }) > 0 {
            try await Task.sleep(for: .milliseconds(100))
        }
        let (counts, lost) = try await generator.onLoop { (phase.value.counts, phase.value.underWay) }
        report.take(counts, lost: lost)
        return report
    }
}
