// SPDX-License-Identifier: Apache-2.0

import SASL

/// Makes the ids of stanzas that are the same whenever they are sent again (`docs/protocols.md` section 2, XEP-0359).
///
/// Confined to the server's event loop.
final class StableIDs {
    private let context = SHA256Context()
    private var text: [UInt8] = []

    /// For the nth stanza of a session: a digest, since the id is shown to others and the session's name is not.
    func make(session: String, number: UInt64) -> String {
        text.removeAll(keepingCapacity: true)
        text.append(contentsOf: session.utf8)
        text.append(UInt8(ascii: "|"))
        text.append(contentsOf: String(number).utf8)
        let hash = context.hash(text)
        return Digest.base32(hash.span.extracting(first: 16))
    }
}
