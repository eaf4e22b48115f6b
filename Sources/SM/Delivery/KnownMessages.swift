// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Messages to one user that may come again, since the process that had them before is gone or their sender's is: what
/// the clients hold without acknowledgement, and what they acknowledged lately.
///
/// Empty, and without cost, as long as nothing was handed over and no other SM forwards. A pure value.
struct KnownMessages {
    /// So many acknowledged ones are remembered.
    private static let limit = 2_000

    private var held: [String: DeliveryID] = [:]
    private var waiting: [String: [Passage]] = [:]
    private var lately: Set<String> = []
    private var order: Deque<String> = []

    var isEmpty: Bool { held.isEmpty && lately.isEmpty }

    /// A session holds it.
    mutating func hold(_ id: String, _ delivery: DeliveryID) {
        held[id] = delivery
    }

    /// The place of a message that a session holds.
    func delivery(of id: String) -> DeliveryID? { held[id] }

    /// The stable ids of what clients acknowledged last, so many at most.
    func latest(_ count: Int) -> [String] { Array(order.suffix(count)) }

    /// A client has it.
    func isDone(_ id: String) -> Bool { lately.contains(id) }

    /// The message came again while a session holds it: its new sending is settled with it.
    mutating func wait(_ passage: Passage, for id: String) {
        passage.hold()
        waiting[id, default: []].append(passage)
    }

    /// A client has it. Only what was held, or is to be remembered, is.
    mutating func acknowledged(_ id: String, isRemembered: Bool) {
        stored(id)
        guard held.removeValue(forKey: id) != nil || isRemembered else { return }
        remember(id)
    }

    /// A row holds it, or nothing has to: it is settled, and may be sent to clients, or still be held by them.
    mutating func stored(_ id: String) {
        for passage in waiting.removeValue(forKey: id) ?? [] { passage.release() }
    }

    /// The user is another SM's from now on: takes out those that wait.
    mutating func takeWaiting() -> [Passage] {
        defer { waiting = [:] }
        return waiting.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    mutating func remember(_ id: String) {
        guard lately.insert(id).inserted else { return }
        order.append(id)
        if order.count > Self.limit, let oldest = order.popFirst() { lately.remove(oldest) }
    }

    /// The session that held it has ended: it has another place now, or none.
    mutating func forget(_ id: String) {
        held[id] = nil
    }
}
