// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// A process of the server under load, as the operating system accounts for it.
struct ObservedProcess: ExpressibleByArgument, Sendable {
    let name: String
    let pid: Int

    init?(argument: String) {
        let parts = argument.split(separator: "=")
        guard parts.count == 2, let pid = Int(parts[1]) else { return nil }
        (name, self.pid) = (String(parts[0]), pid)
    }

    /// User and system time so far, in seconds; 10 ms is the grain of `/proc`.
    func cpuSeconds() -> Double {
        guard let stat = read("stat"), let end = stat.lastIndex(of: ")") else { return 0 }
        let fields = stat[end...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Proportional set size in bytes: shared pages count for their share.
    func memory() -> Int {
        guard let text = read("smaps_rollup") else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix("Pss:") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
        }
        return 0
    }

    private func read(_ file: String) -> String? {
        try? String(contentsOfFile: "/proc/\(pid)/\(file)", encoding: .utf8)
    }
}
