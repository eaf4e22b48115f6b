// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Splits the bytes of an XML stream into its header and its first-level elements.
package final class StreamReader {
    /// Who writes the stream.
    package enum Trust: Sendable {
        /// Judged in full: well-formedness, namespaces, restricted XML, limits; normalised where inner readers
        /// could disagree.
        case foreign
        /// A link between our own processes: start tags are read, the payload is not judged.
        case internalLink
    }

    /// What a peer may send; `tagBytes`, `depth` and `attributes` hold for foreign peers.
    package struct Limits: Sendable {
        package var stanzaBytes: Int
        package var tagBytes: Int
        package var depth: Int
        package var attributes: Int

        package init(stanzaBytes: Int = 65_536, tagBytes: Int = 32_768, depth: Int = 64, attributes: Int = 64) {
            self.stanzaBytes = stanzaBytes
            self.tagBytes = tagBytes
            self.depth = depth
            self.attributes = attributes
        }
    }

    package enum Event: Sendable {
        case streamOpened(StreamHeader)
        case element(StreamElement)
        case streamClosed
    }

    package enum Failure: Error, Equatable, Sendable {
        case notWellFormed
        case restrictedXML
        case unsupportedEncoding
        /// The root, or its default namespace, is not what is spoken here (RFC 6120 §4.9.3.10).
        case invalidNamespace
        case badNamespacePrefix
        /// The root is not `stream` (RFC 6120 §4.9.3.1).
        case badFormat
        case textOutsideStanza
        case stanzaTooLarge
        case tooDeep
        case tooManyAttributes
    }

    package var limits: Limits
    /// May be changed between two stanzas: an XEP-0114 stream is foreign until its handshake.
    package var trust: Trust
    private let contentNamespaces: Set<String>
    private var input = ByteBuffer()

    package init(trust: Trust, contentNamespaces: Set<String>, limits: Limits = Limits()) {
        self.trust = trust
        self.contentNamespaces = contentNamespaces
        self.limits = limits
    }

    /// Adds bytes from the peer; call `next` until it answers nil.
    package func receive(_ bytes: ByteBuffer) {
        var bytes = bytes
        self.input.writeBuffer(&bytes)
    }

    /// The next event, nil if more bytes are needed. After a failure every call fails in the same way.
    package func next() throws(Failure) -> Event? {
        nil
    }

    /// Begins a new stream (after STARTTLS, after SASL); drops everything that was received.
    package func reset() {
        self.input = ByteBuffer()
    }

    /// Whether bytes are waiting that no event has covered, white space aside.
    package var hasUnreadInput: Bool {
        self.input.readableBytes > 0
    }
}
