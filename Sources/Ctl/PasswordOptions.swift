// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Daemon
import Glibc

/// Where a password comes from: an option, standard input, or the terminal without echo.
struct PasswordOptions: ParsableArguments {
    @Option(help: "The password; others see it in the list of processes. Without it, it is asked for.")
    var password: String?

    @Flag(help: "Reads the password from the first line of standard input.")
    var passwordStdin = false

    func validate() throws {
        if password != nil && passwordStdin { throw ValidationError("--password or --password-stdin, not both.") }
    }

    func obtain(for user: String) throws -> Secret {
        if let password { return Secret(password) }
        guard !passwordStdin, isatty(STDIN_FILENO) == 1 else {
            guard let line = readLine(), !line.isEmpty else { throw Refusal(.usage, "no password on standard input") }
            return Secret(line)
        }
        let first = try Self.prompt("Password for \(user): ")
        guard !first.isEmpty else { throw Refusal(.usage, "an empty password") }
        guard try Self.prompt("Again: ") == first else { throw Refusal(.usage, "the two passwords differ") }
        return Secret(first)
    }

    /// Asks on the terminal itself, so that standard output stays clean.
    private static func prompt(_ text: String) throws -> String {
        let terminal = unsafe open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { throw Refusal(.usage, "no terminal to ask for the password on") }
        defer { close(terminal) }
        var before = termios()
        guard unsafe tcgetattr(terminal, &before) == 0 else {
            throw Refusal(.usage, "the terminal cannot hide a password")
        }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        silent.c_lflag |= tcflag_t(ECHONL)
        let bytes = Array(text.utf8)
        _ = unsafe write(terminal, bytes, bytes.count)
        // An interrupt while the echo is off would leave the terminal without it.
        var held = sigset_t()
        var previous = sigset_t()
        unsafe sigemptyset(&held)
        unsafe sigaddset(&held, SIGTSTP)
        unsafe pthread_sigmask(SIG_BLOCK, &held, &previous)
        unsafe tcsetattr(terminal, TCSAFLUSH, &silent)
        defer {
            unsafe tcsetattr(terminal, TCSAFLUSH, &before)
            unsafe pthread_sigmask(SIG_SETMASK, &previous, nil)
        }
        return try line(from: terminal)
    }

    private static func line(from terminal: Int32) throws -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count < 4_096 {
            let count = unsafe read(terminal, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 || byte == UInt8(ascii: "\n") { break }
            line.append(byte)
        }
        guard let text = String(validating: line, as: UTF8.self) else {
            throw Refusal(.usage, "the password is not UTF-8")
        }
        return text
    }
}
