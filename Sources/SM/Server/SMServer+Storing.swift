// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Storage
import XMPPCore

extension SMServer {
    /// Keeps a stanza in custody until the database has answered; a failure becomes the sender's error.
    ///
    /// - Parameters:
    ///   - passage: the stanza that waits for it.
    ///   - future: what was asked of the database.
    ///   - completion: called on the loop with the answer; it replies.
    func whenStored<Value>(
        _ passage: Passage,
        _ future: EventLoopFuture<Value>,
        _ completion: @escaping (Value) -> Void
    ) {
        passage.hold()
        future.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let value): completion(value)
            case .failure(DatabaseError.fenced): passage.abandon()
            case .failure(let error): self.replyError(to: passage, Self.stanzaError(for: error))
            }
            passage.release()
        }
    }

    /// What a client is told about a failure of the database.
    static func stanzaError(for error: any Error) -> StanzaError {
        switch error {
        case DatabaseError.constraint: .notAcceptable
        case DatabaseError.overloaded: .overloaded
        default: .databaseAway
        }
    }
}
