// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The named conditions that must all hold before `/ready` says so; any thread.
package final class Readiness: Sendable {
    /// One condition and, while it does not hold, why.
    package struct Condition: Sendable, Equatable {
        package let name: String
        package fileprivate(set) var isMet: Bool
        package fileprivate(set) var reason: String
    }

    private let state = Mutex<[Condition]>([])

    package init() {}

    /// Declares a condition that does not hold yet.
    package func require(_ name: String, reason: String = "starting") {
        set(name, isMet: false, reason: reason)
    }

    /// The condition holds.
    package func met(_ name: String) {
        set(name, isMet: true, reason: "")
    }

    /// The condition does not hold, for this reason.
    package func unmet(_ name: String, reason: String) {
        set(name, isMet: false, reason: reason)
    }

    /// In the order of their first mention.
    package var conditions: [Condition] { state.withLock { $0 } }

    package var isReady: Bool { state.withLock { $0.allSatisfy(\.isMet) } }

    private func set(_ name: String, isMet: Bool, reason: String) {
        state.withLock { conditions in
            if let index = conditions.firstIndex(where: { $0.name == name }) {
                conditions[index].isMet = isMet
                conditions[index].reason = reason
            } else {
                conditions.append(Condition(name: name, isMet: isMet, reason: reason))
            }
        }
    }
}
