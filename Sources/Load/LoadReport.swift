// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a run found out, as one line of JSON with sorted keys; docs/benchmarks.md explains them.
struct LoadReport: Encodable {
    struct Process: Encodable {
        /// CPU time of the measured span, in seconds.
        var cpuSeconds: Double
        /// CPU time for each unit, in microseconds.
        var cpuMicrosecondsPerUnit: Double?
        /// Proportional set size at the end, in bytes.
        var memory: Int
        /// Growth of the memory for each session, in bytes.
        var memoryPerSession: Double?
    }

    /// What came of messages that had been stored.
    struct Drain: Encodable {
        var seconds: Double
        var messagesPerSecond: Double
        /// From the first request until the store was empty again.
        var secondsUntilEmpty: Double?
        var processes: [String: Process] = [:]
    }

    var mode: String
    var date = ISO8601DateFormatter().string(from: Date())
    var clients: Int
    /// The version that was negotiated.
    var tls: String?
    var mechanism: String?
    var streamManagement: Bool?
    /// The measured span.
    var seconds: Double
    /// What the rates and CPU times are counted in: message, login, session, presence.
    var unit: String
    var units: Int?
    var unitsPerSecond: Double?
    var lost: Int?
    var doubled: Int?
    var reordered: Int?
    var errors: Int?
    /// Connections that broke.
    var broken: Int?
    /// Milliseconds.
    var latency: [String: Double]?
    /// How late the generator was in an open loop, in milliseconds.
    var lateness: [String: Double]?
    var drain: Drain?
    /// How it was known that messages were stored: count (of the store), or answer (to a request after the last one),
    /// and acknowledgement, if all had to be acknowledged as well (XEP-0198).
    var storedBy: String?
    var processes: [String: Process] = [:]
    /// The generator's own CPU time for each unit, in microseconds.
    var generatorCPUMicrosecondsPerUnit: Double?

    init(mode: String, unit: String, clients: Int, seconds: Double) {
        (self.mode, self.unit, self.clients, self.seconds) = (mode, unit, clients, seconds)
    }

    mutating func take(_ counts: DeliveryCounts, lost: Int) {
        self.lost = lost
        doubled = counts.doubled
        reordered = counts.reordered
        errors = counts.errors
        latency = counts.latency.percentiles
    }

    func write() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(self), as: UTF8.self))
    }
}

/// CPU time and memory of the observed processes, and of the generator itself, between two moments.
struct Accounting {
    private let processes: [ObservedProcess]
    private let cpuBefore: [Double]
    private let memoryBefore: [Int]
    private let ownBefore: Double

    init(_ processes: [ObservedProcess]) {
        self.processes = processes
        // To read the memory takes a while, so CPU time comes last here and first at the end.
        let tree = ProcessTree()
        memoryBefore = processes.map { $0.memory(tree) }
        let later = ProcessTree()
        cpuBefore = processes.map { $0.cpuSeconds(later) }
        ownBefore = Self.ownCPU()
    }

    /// The figures by process; `sessions` are those opened since the start.
    func figures(units: Int, sessions: Int? = nil) -> [String: LoadReport.Process] {
        let tree = ProcessTree()
        let cpuSeconds = processes.indices.map { processes[$0].cpuSeconds(tree) - cpuBefore[$0] }
        var figures: [String: LoadReport.Process] = [:]
        for (index, process) in processes.enumerated() {
            let cpu = cpuSeconds[index]
            let memory = process.memory(tree)
            figures[process.name] = LoadReport.Process(
                cpuSeconds: cpu,
                cpuMicrosecondsPerUnit: units > 0 ? cpu * 1e6 / Double(units) : nil,
                memory: memory,
                memoryPerSession: sessions.map { Double(memory - memoryBefore[index]) / Double(max($0, 1)) }
            )
        }
        return figures
    }

    /// Fills the report's figures; `units` are messages, logins or deliveries.
    func finish(_ report: inout LoadReport, units: Int, sessions: Int? = nil) {
        let own = Self.ownCPU() - ownBefore
        report.processes = figures(units: units, sessions: sessions)
        report.generatorCPUMicrosecondsPerUnit = units > 0 ? own * 1e6 / Double(units) : nil
    }

    /// The generator's user and system time in seconds.
    private static func ownCPU() -> Double {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
