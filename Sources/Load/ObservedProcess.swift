// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// A process of the server under load and all its descendants, as the operating system accounts for them.
struct ObservedProcess: ExpressibleByArgument, Sendable {
    let name: String
    let pid: Int

    init?(argument: String) {
        let parts = argument.split(separator: "=")
        guard parts.count == 2, let pid = Int(parts[1]) else { return nil }
        (name, self.pid) = (String(parts[0]), pid)
    }

    init(name: String, pid: Int) {
        (self.name, self.pid) = (name, pid)
    }

    /// User and system time so far, in seconds; 10 ms is the grain of `/proc`.
    ///
    /// The time of children that ended and were waited for is with their parent, so the sum never shrinks.
    func cpuSeconds(_ tree: ProcessTree) -> Double {
        let ticks = tree.members(of: pid).reduce(0) { $0 + (tree.rows[$1]?.ticks ?? 0) }
        return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Proportional set size in bytes: shared pages count for their share.
    func memory(_ tree: ProcessTree) -> Int {
        tree.members(of: pid).reduce(0) { $0 + Self.memory(ofProcess: $1) }
    }

    private static func memory(ofProcess pid: Int) -> Int {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8) else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix("Pss:") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
        }
        return 0
    }
}

/// All processes at one moment, by `/proc/*/stat` (proc(5)).
struct ProcessTree {
    struct Row {
        var parent: Int
        /// User and system time of the process and of its children that it has waited for.
        var ticks: Int
    }

    private(set) var rows: [Int: Row] = [:]
    private var children: [Int: [Int]] = [:]

    init() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        for pid in names.compactMap({ Int($0) }) {
            guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let row = Self.row(stat)
            else { continue }
            rows[pid] = row
            children[row.parent, default: []].append(pid)
        }
    }

    /// The process and all its descendants.
    func members(of pid: Int) -> [Int] {
        rows[pid] == nil ? [] : [pid] + (children[pid] ?? []).flatMap { members(of: $0) }
    }

    /// Reads a line of `stat`; the name in parentheses may hold anything, spaces and parentheses too.
    static func row(_ stat: String) -> Row? {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[end...].split(separator: " ")
        guard fields.count > 15, let parent = Int(fields[2]) else { return nil }
        let times = fields[12...15].compactMap { Int($0) }
        return times.count == 4 ? Row(parent: parent, ticks: times.reduce(0, +)) : nil
    }
}
