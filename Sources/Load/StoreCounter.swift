// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A command of the user's that prints, again and again, how many messages the server has stored; a line each.
///
/// Lines that are no number are passed over, so that psql's `\watch` will do.
final class StoreCounter: Sendable {
    struct Stopped: Error, CustomStringConvertible {
        let description: String
    }

    private struct State {
        var line: [UInt8] = []
        var count: Int?
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let process = Process()

    func start(_ command: String) throws {
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let handle = output.fileHandleForReading
        Thread.detachNewThread { [self] in
            while true {
                let data = handle.availableData
                take(data)
                if data.isEmpty { return }
            }
        }
    }

    func stop() {
        guard process.isRunning else { return }
        // The shell and what it started: Foundation gives each child a process group.
        let pid = process.processIdentifier
        kill(getpgid(pid) == pid ? -pid : pid, SIGTERM)
    }

    /// Waits until the count satisfies a condition.
    func wait(seconds: Int, until isEnough: (Int) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let (count, hasEnded) = state.withLock { ($0.count, $0.hasEnded) }
            if let count, isEnough(count) { return }
            guard !hasEnded else { throw Stopped(description: "the command that counts ended") }
            guard ContinuousClock.now < deadline else {
                throw Stopped(description: "the count stood at \(count ?? 0) after \(seconds) s")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func take(_ data: Data) {
        state.withLock { state in
            state.hasEnded = data.isEmpty
            for byte in data {
                guard byte == UInt8(ascii: "\n") else {
                    state.line.append(byte)
                    continue
                }
                if let count = Int(String(decoding: state.line, as: UTF8.self)) { state.count = count }
                state.line = []
            }
        }
    }
}
