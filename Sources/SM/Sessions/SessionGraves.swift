// SPDX-License-Identifier: Apache-2.0

import DequeModule
import SASL
import XMPPCore

/// Sessions that are over although their resumption time was not: what a late `<resume/>` is told (XEP-0198 §5,
/// `<failed h='…'/>`).
///
/// A pure value, bounded: past `limit` the oldest is forgotten, and its client is told no `h`.
struct SessionGraves {
    private struct Grave {
        let hash: [UInt8]
        let user: BareJID
        let h: UInt32
        let until: Int64
    }

    private var graves: Deque<Grave> = []
    private let limit: Int

    init(limit: Int = 10_000) {
        self.limit = limit
    }

    /// `until`: when the session would have ended by itself, in microseconds since 1970.
    mutating func bury(hash: [UInt8], user: BareJID, h: UInt32, until: Int64) {
        graves.append(Grave(hash: hash, user: user, h: h, until: until))
        if graves.count > limit { graves.removeFirst() }
    }

    /// The `h` of the user's session with the token of this hash (`SessionRecord.hash(ofToken:)`).
    func acknowledgement(hash: [UInt8], user: BareJID) -> UInt32? {
        graves.last { $0.user == user && Digest.constantTimeEqual($0.hash, hash) }?.h
    }

    /// Forgets those whose time is over, as far as they are the oldest.
    mutating func forget(before now: Int64) {
        while let first = graves.first, first.until < now { graves.removeFirst() }
    }
}
