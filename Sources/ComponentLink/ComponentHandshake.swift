// SPDX-License-Identifier: Apache-2.0

import SASL

/// The proof of the secret in a component's stream (XEP-0114 §3): SHA-1 of the stream's id and the secret, in hex.
package enum ComponentHandshake {
    /// The text of `<handshake/>` for the stream `streamID`.
    package static func proof(streamID: String, secret: String) -> String {
        Digest.hex(Digest.sha1(Array((streamID + secret).utf8)))
    }

    /// Whether `text` proves the secret; the time does not depend on where they differ.
    package static func verify(_ text: String, streamID: String, secret: String) -> Bool {
        Digest.constantTimeEqual(
            Array(text.utf8),
            Array(Self.proof(streamID: streamID, secret: secret).utf8)
        )
    }
}
