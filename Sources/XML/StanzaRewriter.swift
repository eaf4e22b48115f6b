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
        self.inheriting(element, root.contentNamespace).write(
            to: &written,
            inheriting: root.contentNamespace,
            limit: limits.stanzaBytes
        )
        guard written.readableBytes <= limits.stanzaBytes else { throw .stanzaTooLarge }
        guard let stanza = StanzaOutline.firstElement(in: written),
            let result = StreamElement(linkBytes: written, stanza, root.withoutPrefixes)
        else { throw .notWellFormed }
        return result
    }

    /// The element in the stream's content namespace if it is in any, and its children alike. What is in a content
    /// namespace below another one, as a forwarded message is, stays what it is.
    private static func inheriting(_ element: Element, _ contentNamespace: String) -> Element {
        guard StreamRoot.isContentNamespace(element.namespace, contentNamespace) else { return element }
        var element = element
        element.namespace = contentNamespace
        for index in element.children.indices {
            if case .element(let child) = element.children[index] {
                element.children[index] = .element(self.inheriting(child, contentNamespace))
            }
        }
        return element
    }
}
