// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
import XMPPCore

/// Stanzas as rows of the spool: their bytes as they travel, read back without rebuilding the payload.
enum SpoolCodec {
    static func encode(_ stanza: Stanza) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(stanza.encodedSize)
        stanza.write(to: &buffer)
        return buffer
    }

    static func decode(_ bytes: ByteBuffer) -> Stanza? {
        elements(bytes).first.flatMap { try? Stanza($0) }
    }

    /// The elements of a stream of ours, up to the first that cannot be read.
    static func elements(_ bytes: ByteBuffer) -> [StreamElement] {
        let reader = StreamReader(
            trust: .internalLink,
            contentNamespaces: [Namespace.client],
            limits: StreamReader.Limits(stanzaBytes: 64 << 20, tagBytes: 1 << 20)
        )
        reader.receive(
            ByteBuffer(
                string: "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        )
        reader.receive(bytes)
        var elements: [StreamElement] = []
        while let event = try? reader.next() {
            if case .element(let element) = event { elements.append(element) }
        }
        return elements
    }
}
