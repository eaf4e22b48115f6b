// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// The addresses that a user blocks (XEP-0191 §2, JID matching as in its list of four forms).
struct Blocklist: Equatable, Sendable {
    private(set) var jids: Set<JID> = []
    /// About what they make in an answer.
    private(set) var bytes = 0

    init(_ jids: some Sequence<JID> = []) {
        self.jids = Set(jids)
        bytes = Self.bytes(of: self.jids)
    }

    static func bytes(of jids: some Sequence<JID>) -> Int {
        jids.reduce(0) { $0 + EncodedSize.item + EncodedSize.of($1.description) }
    }

    var isEmpty: Bool { jids.isEmpty }

    /// Whether a stanza from or to this address is blocked: `user@domain/resource`, `user@domain` (all resources),
    /// `domain/resource` and `domain` (everything at the domain).
    func blocks(_ jid: JID) -> Bool {
        guard !jids.isEmpty else { return false }
        if jids.contains(jid) || jids.contains(JID(jid.bare)) || jids.contains(JID(jid.bare.domainJID)) { return true }
        guard jid.local != nil, let resource = jid.resource else { return false }
        return (try? jid.bare.domainJID.with(resource: resource)).map(jids.contains) ?? false
    }

    mutating func insert(_ jid: JID) {
        if jids.insert(jid).inserted { bytes += Self.bytes(of: CollectionOfOne(jid)) }
    }

    mutating func remove(_ jid: JID) {
        if jids.remove(jid) != nil { bytes -= Self.bytes(of: CollectionOfOne(jid)) }
    }
}
