// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// XEP-0160: Best Practices for Handling Offline Messages (1.0.1), as far as it is announced. Which messages are
/// stored is `OfflinePolicy`'s; to and from the spool they go in `SMServer+Spool`.
final class OfflineMessagesModule: SMModule {
    init(_ server: SMServer) {}

    func features(of entity: DiscoEntity) -> [String] {
        if case .server = entity { [Namespace.offlineMessages] } else { [] }
    }
}
