// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs an executable and reads what it prints; without Foundation.
enum Subprocess {
    struct Result {
        let exitCode: Int32
        let output: String
    }

    /// What is read of the output at most; the rest is read and dropped.
    private static let maximumBytes = 1 << 20

    /// The directory of this very executable.
    static var ownDirectory: String {
        var path = [CChar](repeating: 0, count: 4_096)
        let count = unsafe readlink("/proc/self/exe", &path, path.count)
        guard count > 0 else { return "." }
        let whole = path.prefix(count).map { UInt8(bitPattern: $0) }
        guard let slash = whole.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return String(decoding: whole[..<slash], as: UTF8.self)
    }

    /// Runs it to its end; nil: it could not be started.
    static func run(_ path: String, _ arguments: [String]) -> Result? {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return nil }
        defer { close(ends[0]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        var vector = unsafe ([path] + arguments).map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe vector.indices { unsafe free(vector[index]) } }
        var process: pid_t = 0
        let status = unsafe posix_spawn(&process, path, &actions, nil, &vector, environ)
        close(ends[1])
        guard status == 0 else { return nil }
        let output = readAll(ends[0])
        var ended: Int32 = 0
        while unsafe waitpid(process, &ended, 0) < 0 && errno == EINTR {}
        // WIFEXITED and WEXITSTATUS; a signal's number as the shell tells it.
        let signal = ended & 0x7F
        return Result(exitCode: signal == 0 ? (ended >> 8) & 0xFF : 128 + signal, output: output)
    }

    private static func readAll(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            if bytes.count < maximumBytes { bytes += chunk.prefix(count) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
