// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Work that must be done one piece after the other, each ending later: the writes to one user's roster.
///
/// Confined to the server's event loop. At the bound `run` answers false and the work is dropped; its sender gets
/// `resource-constraint`.
final class ChangeQueue {
    /// A piece of work; it calls `done` once, at once or later.
    typealias Work = (_ done: @escaping () -> Void) -> Void

    private var waiting: Deque<Work> = []
    private var isRunning = false
    private let limit: Int

    init(limit: Int = 1_024) {
        self.limit = limit
    }

    var isEmpty: Bool { !isRunning && waiting.isEmpty }

    @discardableResult
    func run(_ work: @escaping Work) -> Bool {
        guard waiting.count < limit else { return false }
        waiting.append(work)
        next()
        return true
    }

    private func next() {
        while !isRunning, let work = waiting.popFirst() {
            isRunning = true
            var isSynchronous = true
            var isDone = false
            work { [self] in
                guard !isDone else { return }
                isDone = true
                isRunning = false
                if !isSynchronous { next() }
            }
            isSynchronous = false
        }
    }
}
