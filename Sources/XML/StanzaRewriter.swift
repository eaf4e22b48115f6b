// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Writes an element anew that cannot travel as it was read: it needs a declaration of the stream's root, or names
/// the content namespace otherwise than by inheritance.
enum StanzaRewriter {
    /// A tree takes far more memory than its bytes, and what is written anew is small in practice.
    private static let elements = 16_384

    /// The same element in other bytes, in the content namespace of the stream.
    static func rewrite(
        _ bytes: ByteBuffer,
        _ judge: StreamJudge,
        _ root: StreamRoot,
        limits: StreamReader.Limits
    ) throws(StreamReader.Failure) -> StreamElement {
        let nodes: [Element.Node]
        do throws(XMLParseError) {
            nodes = try ElementParser.parse(
                bytes,
                declarations: root.declarations,
                limits: Element.Limits(depth: limits.depth, elements: self.elements, attributes: .max)
            )
        } catch {
            throw error == .tooLarge ? .stanzaTooLarge : .notWellFormed
        }
        guard case .element(let element)? = nodes.first else { throw .notWellFormed }
        var written = ByteBuffer()
        element.write(to: &written, inheriting: root.contentNamespace, limit: limits.stanzaBytes)
        guard written.readableBytes <= limits.stanzaBytes else { throw .stanzaTooLarge }
        guard var result = StreamElement(linkBytes: written, try self.outline(written), root.withoutPrefixes) else {
            throw .notWellFormed
        }
        result.payload = judge.payload
        return result
    }

    private static func outline(_ bytes: ByteBuffer) throws(StreamReader.Failure) -> StanzaOutline {
        var outline = StanzaOutline()
        var scanner = MarkupScanner(judges: false)
        while !outline.isComplete {
            switch scanner.next(bytes.readableBytesUInt8Span) {
            case .startTag(let tag): outline.open(tag)
            case .emptyTag(let tag): outline.openAndClose(tag)
            case .endTag(let tag): outline.close(tag)
            case .text: break
            case .declaration, .incomplete, .refused: throw .notWellFormed
            }
        }
        return outline
    }
}
