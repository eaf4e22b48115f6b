// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Glibc
import TestSupport
import Testing

@testable import Ctl

/// Where a password comes from.
@Suite struct PasswordTests {
    /// What is obtained where these bytes are on standard input.
    private func obtain(_ arguments: [String], input: [UInt8]) throws -> String {
        var ends: [Int32] = [-1, -1]
        try #require(unsafe pipe(&ends) == 0)
        defer { close(ends[0]) }
        // A pipe holds 64 KiB.
        let count = unsafe write(ends[1], input, input.count)
        #expect(count == input.count)
        close(ends[1])
        return try PasswordOptions.parse(arguments).obtain(for: "a@b", input: ends[0]).revealed
    }

    @Test func theOptionComesFirst() throws {
        #expect(try obtain(["--password", "from the option"], input: Array("from input\n".utf8)) == "from the option")
    }

    @Test(arguments: [[], ["--password-stdin"]])
    func itIsTheFirstLineOfWhatIsNoTerminal(_ arguments: [String]) throws {
        for (input, expected) in [
            ("secret\n", "secret"), ("secret", "secret"), ("secret\nmore\n", "secret"), ("secret\r\n", "secret"),
            (" sp ace \n", " sp ace "), ("pässwörd\n", "pässwörd"),
        ] {
            #expect(try obtain(arguments, input: Array(input.utf8)) == expected)
        }
    }

    @Test(
        arguments: [
            ([], "no password"), (Array("\nsecret\n".utf8), "no password"), ([0xFF, 0xFE, 0x0A], "not UTF-8"),
            (Array(repeating: 0x61, count: 5_000), "too long"),
        ] as [([UInt8], String)]
    )
    func whatIsNoPasswordIsUsage(_ input: [UInt8], _ expected: String) throws {
        let refusal = try #require(refusal { _ = try obtain(["--password-stdin"], input: input) })
        #expect(refusal.code == 64 && refusal.text.contains(expected), "\(refusal.text)")
    }

    // MARK: - On a terminal

    private static let notRunning: Int32 = 69

    @Test func itIsAskedForTwiceAndNotShown() throws {
        let terminal = try TerminalSession(["user", "add", "alice@localhost"])
        try terminal.read(through: "Password for alice@localhost: ")
        try terminal.type("secret-1\n")
        try terminal.read(through: "Again: ")
        try terminal.type("secret-1\n")
        try terminal.read(through: "no link to the router")
        #expect(terminal.end() == Self.notRunning)
        #expect(!terminal.seen.contains("secret"))
        #expect(terminal.echoes)
    }

    @Test func whatIsTypedMustBeAPasswordTwice() throws {
        for (lines, expected) in [(["secret-1", "secret-2"], "the two passwords differ"), ([""], "an empty password")] {
            let terminal = try TerminalSession(["user", "passwd", "alice@localhost"])
            for (prompt, line) in zip(["Password for alice@localhost: ", "Again: "], lines) {
                try terminal.read(through: prompt)
                try terminal.type(line + "\n")
            }
            try terminal.read(through: expected)
            #expect(terminal.end() == 64)
            #expect(terminal.echoes)
        }
    }

    /// Control-C at the prompt ends the tool, and the terminal shows again what is typed.
    @Test func anInterruptLeavesTheTerminalAsItWas() throws {
        let terminal = try TerminalSession(["user", "add", "alice@localhost"])
        try terminal.read(through: "Password for alice@localhost: ")
        try terminal.type("secr\u{3}")
        #expect(terminal.end() == 128 + SIGINT)
        #expect(terminal.echoes)
    }
}

/// `jackdawctl` with a terminal of its own; there is no suite that it could reach.
private final class TerminalSession {
    struct Never: Error {
        let waitingFor: String
        let seen: String
    }

    private let terminal: Int32
    /// Our own hold on the other side, which keeps its settings when the tool is gone.
    private let line: Int32
    private let directory: String
    private let child: ChildProcess
    private(set) var seen = ""

    init(_ arguments: [String]) throws {
        terminal = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // TIOCSPTLCK and TIOCGPTN of ioctl_tty(2): unlocks the other side, and tells its number.
        var (lock, number): (Int32, Int32) = (0, 0)
        let isUnlocked = unsafe ioctl(terminal, 0x4004_5431, &lock) == 0
        let isNumbered = unsafe ioctl(terminal, 0x8004_5430, &number) == 0
        try #require(isUnlocked && isNumbered)
        let name = "/dev/pts/\(number)"
        line = unsafe open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(line >= 0)
        directory = try TemporaryDirectory.make("ctl")
        let configuration = "router: {listen: \"127.0.0.1:1\"}\nsecrets: {ctl: secret}\n"
        try Self.write(configuration, to: "\(directory)/jackdaw.yml")
        try Self.write("secret\n", to: "\(directory)/secret")
        let own = CommandLine.arguments[0].split(separator: "/").dropLast().joined(separator: "/")
        let command = ["/\(own)/jackdawctl"] + arguments + ["--config", "\(directory)/jackdaw.yml"]
        // The first terminal that the leader of a session opens is its own.
        child = try ChildProcess(["setsid", "sh", "-c", "exec \"$@\" <\"$0\" >\"$0\" 2>&1", name] + command)
    }

    deinit {
        close(terminal)
        close(line)
        TemporaryDirectory.remove(directory)
    }

    /// Whether the terminal shows what is typed.
    var echoes: Bool {
        var settings = termios()
        _ = unsafe tcgetattr(line, &settings)
        return settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// Reads until a text was shown, with a bound that only a broken tool meets.
    func read(through text: String) throws {
        for _ in 0..<2_000 where !seen.contains(text) {
            var descriptors = [pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)]
            guard unsafe poll(&descriptors, 1, 10) > 0 else { continue }
            var bytes = [UInt8](repeating: 0, count: 4_096)
            let count = unsafe Glibc.read(terminal, &bytes, bytes.count)
            seen += String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        }
        guard seen.contains(text) else { throw Never(waitingFor: text, seen: seen) }
    }

    /// Types into a prompt that does not show it.
    func type(_ text: String) throws {
        for _ in 0..<2_000 where echoes { usleep(10_000) }
        guard !echoes else { throw Never(waitingFor: "a prompt", seen: seen) }
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(terminal, bytes, bytes.count)
    }

    /// Waits for the end of the tool; gives its exit code.
    func end() -> Int32 { child.wait() }

    private static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
    }
}
