// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Tries hosts of one priority, in their order: each begins when the one before it has failed, or has taken longer than a
/// delay (XEP-0495, RFC 8305 §5). The first that succeeds is the one.
///
/// The addresses of one host race in the same way inside its own try. Confined to its event loop.
final class HostRace<Host: Sendable, Value: Sendable> {
    private let eventLoop: any EventLoop
    private let delay: TimeAmount
    private let attempt: (Host) -> EventLoopFuture<Value>
    /// Told of each host that failed while the race was open.
    private let whenFailed: (Host, any Error) -> Void
    /// Gets what succeeded too late.
    private let whenLate: (Value) -> Void
    private let promise: EventLoopPromise<Value>
    private var waiting: ArraySlice<Host>
    private var running = 0
    private var next: Scheduled<Void>?
    private(set) var isOver = false

    init(
        _ hosts: ArraySlice<Host>,
        eventLoop: any EventLoop,
        delay: TimeAmount,
        attempt: @escaping (Host) -> EventLoopFuture<Value>,
        whenFailed: @escaping (Host, any Error) -> Void,
        whenLate: @escaping (Value) -> Void
    ) {
        self.waiting = hosts
        self.eventLoop = eventLoop
        self.delay = delay
        self.attempt = attempt
        self.whenFailed = whenFailed
        self.whenLate = whenLate
        self.promise = eventLoop.makePromise()
    }

    /// Fails with the last failure.
    func run() -> EventLoopFuture<Value> {
        if self.waiting.isEmpty { self.promise.fail(ChannelError.eof) } else { self.begin() }
        return self.promise.futureResult
    }

    private func begin() {
        self.next?.cancel()
        self.next = nil
        guard !self.isOver, let host = self.waiting.popFirst() else { return }
        self.running += 1
        if !self.waiting.isEmpty {
            self.next = self.eventLoop.assumeIsolated().scheduleTask(in: self.delay) { self.begin() }
        }
        self.attempt(host).assumeIsolated().whenComplete { self.ended(host, $0) }
    }

    private func ended(_ host: Host, _ result: Result<Value, any Error>) {
        self.running -= 1
        switch result {
        case .success(let value):
            guard !self.isOver else { return self.whenLate(value) }
            self.isOver = true
            self.next?.cancel()
            self.promise.succeed(value)
        case .failure(let error):
            guard !self.isOver else { return }
            self.whenFailed(host, error)
            if !self.waiting.isEmpty { return self.begin() }
            guard self.running == 0 else { return }
            self.isOver = true
            self.promise.fail(error)
        }
    }
}
