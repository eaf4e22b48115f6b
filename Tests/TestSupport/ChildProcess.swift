// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A process that a test starts, without Foundation.
///
/// Its standard input stays open as long as the value lives, and closes, whatever happens, when the test process ends.
@safe package final class ChildProcess: Sendable {
    package let pid: Int32
    /// Our end of the child's standard input.
    private let input: Int32
    /// The reading end of the child's standard output and error; -1 when they are ours.
    private let output: Int32

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Starts a program by its path or by its name in `PATH`.
    package init(_ arguments: [String], environment: [String: String] = [:], capturesOutput: Bool = false) throws {
        // Socket pairs, because they can be made close-on-exec at once: no other child inherits them.
        let inputs = try Self.socketPair()
        let outputs = capturesOutput ? try Self.socketPair() : (ours: -1, theirs: -1)
        defer {
            close(inputs.theirs)
            if outputs.theirs >= 0 { close(outputs.theirs) }
        }
        pid = try Self.spawn(arguments, environment, input: inputs.theirs, output: outputs.theirs)
        input = inputs.ours
        output = outputs.ours
    }

    deinit {
        close(input)
        if output >= 0 { close(output) }
    }

    /// Closes the child's standard input.
    package func closeInput() {
        shutdown(input, Int32(SHUT_WR))
    }

    package func send(signal: Int32) {
        kill(pid, signal)
    }

    /// What the child writes until it closes its output.
    package func readOutput() -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while output >= 0 {
            let count = unsafe read(output, &chunk, chunk.count)
            if count <= 0 { break }
            bytes += chunk.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Waits for the end; gives the exit code, or 128 and the signal.
    package func wait() -> Int32 {
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    /// Runs a program to its end and gives what it wrote; throws that when it fails.
    @discardableResult
    package static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> String {
        let child = try ChildProcess(arguments, environment: environment, capturesOutput: true)
        child.closeInput()
        let output = child.readOutput()
        let code = child.wait()
        if code != 0 { throw Failure(description: "\(arguments.joined(separator: " ")): exit \(code)\n\(output)") }
        return output
    }

    private static func socketPair() throws -> (ours: Int32, theirs: Int32) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        if unsafe socketpair(AF_UNIX, type, 0, &ends) != 0 { throw Failure(description: "socketpair: error \(errno)") }
        return (ends[0], ends[1])
    }

    private static func spawn(
        _ arguments: [String],
        _ environment: [String: String],
        input: Int32,
        output: Int32
    ) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        if output >= 0 {
            unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
            unsafe posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        }
        // NIO's sockets are not close-on-exec: a child that held one would keep its peer from seeing the end.
        for descriptor in Int32(3)..<4_096 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let own = unsafe arguments.map { unsafe strdup($0) } + [nil]
        let variables = unsafe Self.variables(environment).map { unsafe strdup($0) } + [nil]
        defer {
            for index in unsafe own.indices { unsafe free(own[index]) }
            for index in unsafe variables.indices { unsafe free(variables[index]) }
        }
        var pid: pid_t = 0
        let error = unsafe posix_spawnp(&pid, arguments.first ?? "", &actions, nil, own, variables)
        if error != 0 { throw Failure(description: "\(arguments.first ?? ""): error \(error)") }
        return pid
    }

    /// Our environment with additions, in the form `name=value`.
    private static func variables(_ additions: [String: String]) -> [String] {
        var variables: [String] = []
        var entry = unsafe environ
        while let text = unsafe entry.pointee {
            let variable = unsafe String(cString: text)
            let name = String(variable.prefix { $0 != "=" })
            if additions[name] == nil { variables.append(variable) }
            unsafe entry += 1
        }
        return variables + additions.map { "\($0.key)=\($0.value)" }
    }
}
