// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// XEP-0359: Unique and Stable Stanza IDs (0.7), for messages to local accounts.
final class StanzaIDsModule: SMModule {
    init(_ server: SMServer) {}

    var points: ChainPoints { [.messageToUser] }

    func features(of entity: DiscoEntity) -> [String] {
        if case .account = entity { [Namespace.stanzaIDs] } else { [] }
    }

    func toUser(_ passage: Passage, user: User) -> Verdict {
        StanzaIDs.stamp(passage, for: user)
        return .pass
    }
}
