// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// XEP-0203: Delayed Delivery (2.0), §5: nobody else says when our domains got a message. What they say themselves is
/// `Delay.stamp`'s.
final class DelayModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    var points: ChainPoints { [.messageToUser] }

    func toUser(_ passage: Passage, user: User) -> Verdict {
        Delay.removeForged(passage, domains: server.hosted)
        return .pass
    }
}
