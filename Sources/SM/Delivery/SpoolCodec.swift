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
        do {
            while let event = try reader.next() {
                if case .element(let element) = event { return try Stanza(element) }
            }
        } catch {
            return nil
        }
        return nil
    }
}
