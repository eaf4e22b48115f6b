// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// A process of the suite under test; it ends at the latest with the test run.
final class SuiteProcess: Sendable {
    private let child: ChildProcess
    private let janitor: ChildProcess

    var pid: Int32 { child.pid }

    /// Starts `executable` with its output appended to the file `log`.
    init(executable: String, arguments: [String], log: String) throws {
        child = try ChildProcess(["sh", "-c", "exec \"$@\" >>\"$0\" 2>&1", log, executable] + arguments)
        janitor = try ChildProcess(["sh", "-c", "cat >/dev/null; kill -9 \(child.pid) 2>/dev/null"])
    }

    deinit {
        kill(SIGKILL)
        _ = child.wait()
        janitor.closeInput()
        _ = janitor.wait()
    }

    /// Whether it has not ended; an ended one stays a zombie until this value goes, so its pid is not used again.
    var isRunning: Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return false }
        return !status.contains("State:\tZ")
    }

    func kill(_ signal: Int32) { child.send(signal: signal) }

    /// Waits until it has ended.
    func awaitEnd() async throws {
        while isRunning { try await Task.sleep(for: .milliseconds(10)) }
    }

    /// Forgets the peak of the resident memory so far; returns what is resident now, in bytes.
    func startMemoryMeasurement() throws -> Int {
        try "5".write(toFile: "/proc/\(pid)/clear_refs", atomically: false, encoding: .utf8)
        return try memory("VmRSS:")
    }

    /// The peak of the resident memory since `startMemoryMeasurement()`, in bytes.
    func peakMemory() throws -> Int { try memory("VmHWM:") }

    /// What it has used of the processors since its start.
    func processorTime() throws -> Duration {
        let line = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        // The fields behind the name, which may hold anything.
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw RunningSuite.Failure(description: "no processor time for \(pid)")
        }
        return .milliseconds((user + system) * 10)
    }

    private func memory(_ key: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        for line in status.split(separator: "\n") where line.hasPrefix(key) {
            let fields = line.split(whereSeparator: \.isWhitespace)
            if fields.count > 1, let kilobytes = Int(fields[1]) { return kilobytes << 10 }
        }
        throw RunningSuite.Failure(description: "no \(key) for \(pid)")
    }

    /// Runs a command to its end; the output is what it wrote to both of its streams.
    static func run(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                do {
                    let child = try ChildProcess(arguments, capturesOutput: true)
                    child.closeInput()
                    let output = child.readOutput()
                    continuation.resume(returning: (child.wait(), output))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }
}
