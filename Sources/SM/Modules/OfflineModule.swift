// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// XEP-0160: Best Practices for Handling Offline Messages (1.0.1): says that messages wait. What waits, and how, is in
/// `OfflinePolicy` and `SpoolState`.
final class OfflineModule: SMModule {
    init(_ server: SMServer) {}

    func features(of entity: DiscoEntity) -> [String] {
        guard case .server = entity else { return [] }
        return [Namespace.offlineMessages]
    }
}
