// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// Why there is no link to a domain, in the words that our user reads.
struct FederationFailure: Error, Equatable, Sendable {
    /// What the sender of a stanza is told.
    var error: StanzaError
    /// Trying again soon brings nothing: the reason is a rule, or the peer's decision.
    var isFinal: Bool

    init(_ condition: StanzaError.Condition, _ text: String, isFinal: Bool = false) {
        self.error = StanzaError(condition, text: text)
        self.isFinal = isFinal
    }

    /// The words alone, for logs and lists.
    var text: String { self.error.text ?? self.error.condition.rawValue }
}
