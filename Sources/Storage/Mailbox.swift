// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Hands units from the event loop to a connection's thread, and wakes the thread out of its `poll`.
final class Mailbox: Sendable {
    private struct State {
        var units: [WorkUnit] = []
        var fences: [Fence] = []
        var isClosing = false
        /// The thread was woken and has not looked yet.
        var isSignalled = false
    }

    private let state = Mutex(State())
    /// The reading end of a pipe: readable while the thread has something to look at.
    let descriptor: Int32
    private let writingEnd: Int32

    /// Throws when the process is out of descriptors.
    init() throws(SystemCallError) {
        var ends: [Int32] = [-1, -1]
        if unsafe pipe(&ends) != 0 { throw SystemCallError(call: "pipe", number: errno) }
        (descriptor, writingEnd) = (ends[0], ends[1])
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    deinit {
        close(descriptor)
        close(writingEnd)
    }

    func put(_ units: [WorkUnit]) {
        let wake = state.withLock { state in
            state.units += units
            defer { state.isSignalled = true }
            return !state.isSignalled
        }
        if wake { signal() }
    }

    /// Renews the fence, for what was put before as well.
    func put(_ fence: Fence) {
        let wake = state.withLock { state in
            state.fences.append(fence)
            defer { state.isSignalled = true }
            return !state.isSignalled
        }
        if wake { signal() }
    }

    func closeWhenDone() {
        state.withLock { $0.isClosing = true }
        signal()
    }

    /// Takes what was put since the last call, and whether the thread is to end.
    func take() -> (units: [WorkUnit], fences: [Fence], isClosing: Bool) {
        state.withLock { state in
            if state.isSignalled || state.isClosing {
                var bytes: UInt64 = 0
                _ = unsafe read(descriptor, &bytes, MemoryLayout<UInt64>.size)
                state.isSignalled = false
            }
            defer { (state.units, state.fences) = ([], []) }
            return (state.units, state.fences, state.isClosing)
        }
    }

    private func signal() {
        var byte: UInt8 = 1
        _ = unsafe write(writingEnd, &byte, 1)
    }
}

/// A system call that failed.
struct SystemCallError: Error, CustomStringConvertible {
    let call: String
    let number: Int32

    var description: String { "\(call): error \(number)" }
}
