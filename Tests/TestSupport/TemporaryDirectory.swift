// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Directories for tests: below one directory of this test run, which is removed when the run ends.
///
/// The name of that directory tells the process that it belongs to, so that a later run can remove what one that was
/// killed has left.
package enum TemporaryDirectory {
    private static let prefix = "jackdaw-tests-"
    private static let count = Atomic<Int>(0)

    private static let root: String = {
        removeLeftovers(in: "/tmp")
        let path = "/tmp/\(prefix)\(getpid())-\(startTime(of: getpid()) ?? 0)-\(UInt32.random(in: 0 ... .max))"
        guard unsafe mkdir(path, 0o755) == 0 else { return path }
        atexit { TemporaryDirectory.remove(TemporaryDirectory.root) }
        return path
    }()

    /// Makes a new directory; `name` is the beginning of its name.
    package static func make(_ name: String) throws -> String {
        let path = "\(root)/\(name)-\(count.add(1, ordering: .relaxed).newValue)"
        guard unsafe mkdir(path, 0o700) == 0 else {
            throw ChildProcess.Failure(description: "mkdir \(path): error \(errno)")
        }
        return path
    }

    /// Removes a directory with all that is in it.
    package static func remove(_ path: String) {
        _ = try? ChildProcess.run(["rm", "-rf", "--", path])
    }

    /// Removes the directories of runs whose process is gone.
    package static func removeLeftovers(in parent: String) {
        let names = (try? ChildProcess.run(["ls", "-A", "--", parent])) ?? ""
        for name in names.split(separator: "\n") where isLeftover(name) { remove("\(parent)/\(name)") }
    }

    private static func isLeftover(_ name: Substring) -> Bool {
        guard name.hasPrefix(prefix) else { return false }
        let parts = name.dropFirst(prefix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let pid = Int32(parts[0]), pid > 0, let start = UInt64(parts[1]) else { return false }
        // The same number may be another process's by now.
        return startTime(of: pid) != start
    }

    /// When a process started, in ticks since the system did; nil if there is none. See proc(5), `/proc/pid/stat`.
    package static func startTime(of pid: Int32) -> UInt64? {
        let descriptor = unsafe open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let line = String(decoding: bytes.prefix(count), as: UTF8.self)
        // The second field is the name, in parentheses, and may hold anything; the time is the 22nd.
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}
