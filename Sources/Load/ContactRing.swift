// SPDX-License-Identifier: Apache-2.0

/// Who has whom in the roster: clients stand in a ring, and each has those next to it on both sides.
struct ContactRing: Sendable {
    let clients: Int
    /// An even number: half of them on each side.
    let contacts: Int

    /// The contacts of a client, by index.
    func contacts(of index: Int) -> [Int] {
        (1...max(contacts / 2, 1)).flatMap { [(index + $0) % clients, (index - $0 + clients) % clients] }
    }

    /// Where a contact stands among those of a client, 0..<contacts; none if it is no contact.
    func place(of contact: Int, at index: Int) -> Int? {
        let distance = (contact - index + clients) % clients
        let half = contacts / 2
        if distance >= 1, distance <= half { return distance - 1 }
        return distance >= clients - half && distance < clients ? half + clients - distance - 1 : nil
    }
}
