// SPDX-License-Identifier: Apache-2.0

import SASL

/// The id of a stanza that is the same whenever it is sent again (`docs/protocols.md` section 2, XEP-0359).
enum StableID {
    /// For the nth stanza of a session: a digest, since the id is shown to others and the session's name is not.
    static func make(session: String, number: UInt64) -> String {
        Digest.base32(Array(Digest.sha256(Array("\(session)|\(number)".utf8)).prefix(16)))
    }
}
