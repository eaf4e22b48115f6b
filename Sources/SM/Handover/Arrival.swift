// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import XMPPCore

/// A session that is being handed over to us: its passport, and what follows it.
final class Arrival {
    let name: String
    let attach: UInt64
    /// Who presents it: the C2S that has its connection, or for one without connection the SM that owned it.
    let instance: String
    let passport: SessionMessage.Passport
    /// When it began, in microseconds since 1970.
    let since: Int64
    /// In order.
    var unacknowledged: [SessionMessage.Unacknowledged] = []
    /// What else was said of the session since.
    var held: [SessionMessage.Content] = []
    var user: User?
    /// All that belongs to the passport has been said.
    var isComplete = false

    /// Whether the session has no connection any more.
    var isConnectionGone: Bool {
        held.contains { content in
            switch content {
            case .detached, .close: true
            default: false
            }
        }
    }

    init(_ message: SessionMessage, _ passport: SessionMessage.Passport, from instance: String, at since: Int64) {
        name = message.session
        attach = message.attach
        self.passport = passport
        self.instance = instance
        self.since = since
    }
}
