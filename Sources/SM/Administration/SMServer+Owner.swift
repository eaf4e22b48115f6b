// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import XMPPCore

/// Requests of administrators about a user that only the user's owner can carry out (`docs/protocols.md`, section 3).
extension SMServer {
    /// Carries out a request, if the user is ours: at once, or when all that is known of the user has arrived.
    ///
    /// - Returns: what `body` gives. It fails with `AdminResponse.Failure`: `redirect`, whose text is the instance that
    ///   owns the user, or `service-unavailable` where there is none, or where we were taken for dead meanwhile.
    func asOwner<Value: Sendable>(
        of user: BareJID,
        _ body: @escaping () -> EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        guard let owner = map.owner(of: user) else { return eventLoop.makeFailedFuture(Self.ownerless) }
        guard owner == link.instanceName else {
            return eventLoop.makeFailedFuture(AdminResponse.Failure("redirect", owner))
        }
        guard isHeld(user) else { return body() }
        let answer = HeldAnswer(eventLoop.makePromise(of: Value.self), otherwise: Self.ownerless)
        hold(for: user) { server in
            // A later map may have given the user to somebody else.
            server.asOwner(of: user, body).assumeIsolated().whenComplete { answer.promise.completeWith($0) }
        }
        return answer.promise.futureResult
    }

    private static var ownerless: AdminResponse.Failure {
        AdminResponse.Failure("service-unavailable", "nobody owns the user now, try again later")
    }
}

/// An answer that waits in a takeover; it fails when what waits is thrown away.
private final class HeldAnswer<Value: Sendable> {
    let promise: EventLoopPromise<Value>
    private let failure: AdminResponse.Failure

    init(_ promise: EventLoopPromise<Value>, otherwise failure: AdminResponse.Failure) {
        self.promise = promise
        self.failure = failure
    }

    /// Does nothing to one that was answered.
    deinit { promise.fail(failure) }
}
