// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import NIOCore

// What clients may cost before they log in is bounded by their number. When all places are taken, the client that has
// stood still for longest gives way to the next; while all get on, those who come wait to be accepted. So many who
// connect and do nothing, however slowly they send it, keep nobody out, and a rush of good ones is taken at the pace
// of the logins.

extension C2SHub {
    /// A client that came no further for so long may lose its place.
    private static let patience = TimeAmount.milliseconds(500)
    private static let retryInterval = TimeAmount.milliseconds(20)

    /// Whether to accept now; if not, `later` is called when it is worth another try.
    func mayAccept(later: @escaping () -> Void) -> Bool {
        if isDraining || limiter.hasRoomForStranger || evict(where: \.isStranger) { return true }
        acceptWaiters.append(later)
        scheduleRetry()
        return false
    }

    /// Whether the connection may begin TLS now; if not, `startHandshake` of it is called when it may.
    func mayStartHandshake(_ handler: C2SConnectionHandler) -> Bool {
        if limiter.handshakeStarted() { return true }
        if evict(where: \.isHandshakeCounted), limiter.handshakeStarted() { return true }
        handshakeQueue.append(handler)
        scheduleRetry()
        return false
    }

    func handshakeEnded() {
        limiter.handshakeEnded()
        if !handshakeQueue.isEmpty { scheduleRetry() }
    }

    /// Ends the connection that stood still for longest among some, if it was for long enough.
    private func evict(where condition: (C2SConnectionHandler) -> Bool) -> Bool {
        let stalest = connections.values.lazy.filter(condition).min { $0.progressAt < $1.progressAt }
        guard let stalest, eventLoop.now - stalest.progressAt >= Self.patience else { return false }
        metrics.evicted.increment()
        stalest.evict("too many connections")
        return true
    }

    /// A stranger keeps so much memory for what it has not finished. Too much of all together ends the one with the
    /// most.
    func noteUnfinished(_ bytes: Int, of handler: C2SConnectionHandler) {
        unfinished.set(bytes, of: ObjectIdentifier(handler))
        while unfinished.total > configuration.limits.unauthenticatedBytes, let largest = unfinished.largest {
            unfinished.set(0, of: largest)
            metrics.evicted.increment()
            connections[largest]?.evict("too much is unfinished")
        }
    }

    private func scheduleRetry() {
        guard !isRetryScheduled else { return }
        isRetryScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.retryInterval) {
            self.isRetryScheduled = false
            self.retryWaiters()
        }
    }

    func retryWaiters() {
        while let handler = handshakeQueue.first {
            guard handler.machine.phase == .handshaking else {
                handshakeQueue.removeFirst()
                continue
            }
            guard limiter.handshakeStarted() || evict(where: \.isHandshakeCounted) && limiter.handshakeStarted() else {
                scheduleRetry()
                break
            }
            handshakeQueue.removeFirst()
            handler.startHandshake()
        }
        guard !acceptWaiters.isEmpty else { return }
        guard limiter.hasRoomForStranger || evict(where: \.isStranger) else { return scheduleRetry() }
        let waiters = acceptWaiters
        acceptWaiters = []
        for waiter in waiters { waiter() }
    }
}
