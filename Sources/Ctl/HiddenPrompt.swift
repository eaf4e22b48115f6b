// SPDX-License-Identifier: Apache-2.0

import Daemon
import Glibc
import Synchronization

/// Asks on the terminal itself for what must not be seen, so that standard output stays clean.
///
/// Whatever ends it, an interrupt included, the terminal shows again what is typed.
enum HiddenPrompt {
    static func ask(_ text: String) throws -> String {
        let terminal = unsafe open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { throw Refusal(.usage, "no terminal to ask for the password on") }
        defer { close(terminal) }
        var before = termios()
        guard unsafe tcgetattr(terminal, &before) == 0, let signals = HeldSignals() else {
            throw Refusal(.usage, "the terminal cannot hide a password")
        }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        silent.c_lflag |= tcflag_t(ECHONL)
        unsafe tcsetattr(terminal, TCSAFLUSH, &silent)
        let bytes = Array(text.utf8)
        _ = unsafe write(terminal, bytes, bytes.count)
        let answer = Result { try Line.read(from: terminal) { signals.wait(for: terminal) } }
        unsafe tcsetattr(terminal, TCSAFLUSH, &before)
        signals.release()
        return try answer.get()
    }
}

/// One line of a descriptor.
enum Line {
    /// The longest password; a terminal gives no longer line.
    private static let maximumBytes = 4_095

    /// Reads up to the end of the line and nothing behind it; `mayRead` says, before each byte, whether to go on.
    static func read(from descriptor: Int32, while mayRead: () -> Bool = { true }) throws -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            guard mayRead() else { throw Refusal(refused: "interrupted") }
            let count = unsafe Glibc.read(descriptor, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 || byte == UInt8(ascii: "\n") { break }
            guard line.count < maximumBytes else { throw Refusal(.usage, "the password is too long") }
            line.append(byte)
        }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        guard let text = String(validating: line, as: UTF8.self) else {
            throw Refusal(.usage, "the password is not UTF-8")
        }
        return text
    }
}

/// Holds back the signals that end or stop the tool, until `release` lets the one that came take its effect.
private final class HeldSignals {
    private static let numbers = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP]
    /// The signal that came, and the end of the pipe that its handler writes to: all that a handler may touch.
    private static let received = Atomic<Int32>(0)
    private static let bell = Atomic<Int32>(-1)

    private let pipeEnds: [Int32]
    private let before: [(@convention(c) (Int32) -> Void)?]

    /// Nil where the system gives no pipe.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        pipeEnds = ends
        Self.received.store(0, ordering: .relaxed)
        Self.bell.store(ends[1], ordering: .relaxed)
        before = Self.numbers.map { signal($0) { HeldSignals.ring($0) } }
    }

    private static func ring(_ number: Int32) {
        received.store(number, ordering: .relaxed)
        var byte: UInt8 = 0
        _ = unsafe write(bell.load(ordering: .relaxed), &byte, 1)
    }

    /// Waits until there is something to read; false when a signal came.
    func wait(for descriptor: Int32) -> Bool {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: pipeEnds[0], events: Int16(POLLIN), revents: 0),
        ]
        while unsafe poll(&descriptors, nfds_t(descriptors.count), -1) < 0, errno == EINTR {}
        return descriptors[1].revents == 0
    }

    func release() {
        for (number, handler) in zip(Self.numbers, before) { _ = signal(number, handler) }
        for end in pipeEnds { close(end) }
        let number = Self.received.load(ordering: .relaxed)
        guard number != 0 else { return }
        // This thread may block it; whichever takes it ends the tool meanwhile.
        kill(getpid(), number)
        usleep(100_000)
    }
}
