// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Logging
import NIOCore
import SASL
import XML
import XMPPCore
import XMPPStream

/// A client that has still to log in: who may take its place, and what becomes of its tries.
extension C2SConnectionHandler {
    /// Whether the client has still to log in.
    var isStranger: Bool { !isAuthenticated }

    /// The client came a step nearer to its session; bytes alone are no step.
    func progressed() {
        if isStranger { hub.progressed(self) }
    }

    /// Gives the place of a client that does not get on to another, or the memory of one that keeps much.
    func evict(_ reason: String) {
        logger.debug("evicted", metadata: ["peer": "\(clientAddress)", "reason": "\(reason)"])
        let error = StreamError(.resourceConstraint, text: reason)
        run(machine.fail(error, id: Digest.randomName(), atOnce: true))
    }

    func credentialsLoaded(_ credentials: SCRAMCredentials?) {
        run(machine.credentialsLoaded(credentials, id: Digest.randomName()))
        process()
    }

    func credentialsUnavailable() {
        run(machine.credentialsUnavailable(id: Digest.randomName()))
        process()
    }

    func passwordChecked(_ isRight: Bool) {
        run(machine.passwordChecked(isRight, id: Digest.randomName()))
        process()
    }

    /// Whoever may be guessing gets the answer late.
    func delayFailure(_ user: BareJID?, _ failure: SASLFailure) {
        hub.metrics.loginFailures.increment()
        logger.info(
            "login failed",
            metadata: [
                "peer": "\(clientAddress)", "jid": "\(user?.description ?? "")", "reason": "\(failure.rawValue)",
            ]
        )
        guard failure == .notAuthorized else {
            run(machine.failureDelayElapsed(id: Digest.randomName()))
            return
        }
        let now = hub.eventLoop.now
        let delay = hub.loginThrottle.failed(account: user?.description, address: clientAddress, now: now)
        context?.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            self.run(self.machine.failureDelayElapsed(id: Digest.randomName()))
            self.process()
        }
    }

    /// The limits are those of a user from here on.
    func loggedIn(_ user: BareJID) {
        hub.metrics.logins.increment()
        logger[metadataKey: "jid"] = "\(user)"
        logger.info(
            "logged in",
            metadata: [
                "peer": "\(clientAddress)", "mechanism": "\(machine.mechanismName)", "tls": "\(machine.tlsVersion)",
            ]
        )
        reader.limits = hub.configuration.limitsAfterLogin
        try? context?.channel.syncOptions?.setOption(.recvAllocator, value: C2SListener.readBuffer(beforeLogin: false))
        hub.loginThrottle.succeeded(account: user.description, address: clientAddress, now: hub.eventLoop.now)
        hub.authenticated(self)
        isAuthenticated = true
    }
}
