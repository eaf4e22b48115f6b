// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a run found out, as one line of JSON with sorted keys.
struct LoadReport: Encodable {
    struct Process: Encodable {
        /// CPU time of the measured span, in seconds.
        var cpuSeconds: Double
        /// CPU time for each message or login, in microseconds.
        var cpuMicrosecondsPerUnit: Double?
        /// Proportional set size at the end, in bytes.
        var memory: Int
        /// Growth of the memory for each session, in bytes.
        var memoryPerSession: Double?
    }

    var mode: String
    var date = ISO8601DateFormatter().string(from: Date())
    var clients: Int
    var seconds: Double
    var unitsPerSecond: Double?
    var delivered: Int?
    var lost: Int?
    var doubled: Int?
    var reordered: Int?
    var errors: Int?
    /// Milliseconds.
    var latency: [String: Double]?
    var processes: [String: Process] = [:]
    /// The generator's own CPU time for each unit, in microseconds.
    var generatorCPUMicrosecondsPerUnit: Double?

    /// Percentiles of latencies in nanoseconds.
    static func percentiles(_ latencies: [Int64]) -> [String: Double]? {
        guard !latencies.isEmpty else { return nil }
        let sorted = latencies.sorted()
        func at(_ share: Double) -> Double {
            Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1e6
        }
        return ["p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1)]
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
        cpuBefore = processes.map { $0.cpuSeconds() }
        memoryBefore = processes.map { $0.memory() }
        ownBefore = Self.ownCPU()
    }

    /// Fills the report's figures by process; `units` are messages or logins, `sessions` those opened since.
    func finish(_ report: inout LoadReport, units: Int, sessions: Int?) {
        for (index, process) in processes.enumerated() {
            let cpu = process.cpuSeconds() - cpuBefore[index]
            let memory = process.memory()
            report.processes[process.name] = LoadReport.Process(
                cpuSeconds: cpu,
                cpuMicrosecondsPerUnit: units > 0 ? cpu * 1e6 / Double(units) : nil,
                memory: memory,
                memoryPerSession: sessions.map { Double(memory - memoryBefore[index]) / Double(max($0, 1)) }
            )
        }
        report.generatorCPUMicrosecondsPerUnit = units > 0 ? (Self.ownCPU() - ownBefore) * 1e6 / Double(units) : nil
    }

    private static func ownCPU() -> Double {
        let time = ProcessInfo.processInfo
        return ObservedProcess(argument: "self=\(time.processIdentifier)")?.cpuSeconds() ?? 0
    }
}
