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
        if isDraining || limiter.hasRoomForStranger || evictStranger() { return true }
        acceptWaiters.append(later)
        scheduleRetry()
        return false
    }

    /// Whether the connection may begin TLS now; if not, `startHandshake` of it is called when it may.
    func mayStartHandshake(_ handler: C2SConnectionHandler) -> Bool {
        if mayStartHandshake() { return true }
        handshakeQueue.append(handler)
        scheduleRetry()
        return false
    }

    private func mayStartHandshake() -> Bool {
        limiter.handshakeStarted() || evictHandshake() && limiter.handshakeStarted()
    }

    /// The connection begins TLS.
    func handshakeBegan(_ handler: C2SConnectionHandler) {
        handshakes.progressed(ObjectIdentifier(handler), at: eventLoop.now)
    }

    func handshakeEnded(_ handler: C2SConnectionHandler) {
        handshakes.remove(ObjectIdentifier(handler))
        limiter.handshakeEnded()
        if !handshakeQueue.isEmpty { scheduleRetry() }
    }

    /// A stranger came a step nearer to its session.
    func progressed(_ handler: C2SConnectionHandler) {
        guard connections[ObjectIdentifier(handler)] != nil else { return }
        strangers.progressed(ObjectIdentifier(handler), at: eventLoop.now)
    }

    private func evictStranger() -> Bool { evict(strangers.stalest()) }

    private func evictHandshake() -> Bool { evict(handshakes.stalest()) }

    /// Ends the connection that stands still for longest among some, if it does for long enough.
    private func evict(_ stalest: (id: ObjectIdentifier, since: NIODeadline)?) -> Bool {
        guard let stalest, eventLoop.now - stalest.since >= Self.patience else { return false }
        strangers.remove(stalest.id)
        handshakes.remove(stalest.id)
        metrics.evicted.increment()
        connections[stalest.id]?.evict("too many connections")
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
            guard mayStartHandshake() else {
                scheduleRetry()
                break
            }
            handshakeQueue.removeFirst()
            handler.startHandshake()
        }
        guard !acceptWaiters.isEmpty else { return }
        guard limiter.hasRoomForStranger || evictStranger() else { return scheduleRetry() }
        let waiters = acceptWaiters
        acceptWaiters = []
        for waiter in waiters { waiter() }
    }
}
