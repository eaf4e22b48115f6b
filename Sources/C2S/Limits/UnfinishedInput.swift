// SPDX-License-Identifier: Apache-2.0

/// How much memory connections keep for what they have begun to say and not finished. Pure; owned by the loop.
struct UnfinishedInput {
    private var bytes: [ObjectIdentifier: Int] = [:]
    private(set) var total = 0

    /// A connection keeps so much now.
    mutating func set(_ count: Int, of id: ObjectIdentifier) {
        let old = count > 0 ? bytes.updateValue(count, forKey: id) : bytes.removeValue(forKey: id)
        total += max(count, 0) - (old ?? 0)
    }

    /// The connection that keeps most.
    var largest: ObjectIdentifier? { bytes.max { $0.value < $1.value }?.key }
}
