// SPDX-License-Identifier: Apache-2.0

import NIOCore

extension StreamElement {
    /// An element that a judge has read and that may stay as it is.
    init(judged judge: StreamJudge, _ bytes: ByteBuffer, _ stanza: StanzaOutline.Part) {
        self.init(
            name: judge.name,
            namespace: judge.namespace,
            attributes: judge.attributes,
            bytes: bytes,
            content: bytes.slice(stanza.content),
            payload: judge.payload
        )
    }

    /// An element of an internal link, read from its tags alone. Nil if its own start tag cannot be read.
    init?(linkBytes bytes: ByteBuffer, _ outline: StanzaOutline, _ root: StreamRoot) {
        guard let stanza = outline.stanza, let tag = TagParser(bytes, stanza.tag) else { return nil }
        let inherited = root.defaultNamespace.isEmpty ? root.contentNamespace : root.defaultNamespace
        let resolved = tag.resolved(inheriting: inherited, scope: root.namespace(ofPrefix:))
        guard let namespace = resolved.namespace else { return nil }
        self.init(
            name: resolved.name,
            namespace: namespace,
            attributes: tag.attributes,
            bytes: bytes,
            content: bytes.slice(stanza.content)
        )
        guard let child = outline.child, let childTag = TagParser(bytes, child.tag) else { return }
        let childScope = tag.defaultNamespace ?? inherited
        let first = childTag.resolved(inheriting: childScope, scope: root.namespace(ofPrefix:))
        self.payload = (first.name, first.namespace ?? "")
        if namespace == StreamRoot.linkNamespace, resolved.name == "route" {
            self.inner = StreamElementTag(bytes, child, childTag, inheriting: childScope, outline.grandchild, root)
        }
    }
}

extension StreamElementTag {
    fileprivate init(
        _ bytes: ByteBuffer,
        _ part: StanzaOutline.Part,
        _ tag: TagParser,
        inheriting inherited: String,
        _ child: Range<Int>?,
        _ root: StreamRoot
    ) {
        let resolved = tag.resolved(inheriting: inherited, scope: root.namespace(ofPrefix:))
        self.init(
            name: resolved.name,
            namespace: resolved.namespace ?? "",
            attributes: tag.attributes,
            bytes: bytes.slice(part.tag.lowerBound..<part.end),
            content: bytes.slice(part.content)
        )
        guard let child, let childTag = TagParser(bytes, child) else { return }
        let scope = tag.defaultNamespace ?? inherited
        let first = childTag.resolved(inheriting: scope, scope: root.namespace(ofPrefix:))
        self.payload = (first.name, first.namespace ?? "")
    }
}

extension ByteBuffer {
    /// A slice, its offsets counted from the reader index; empty if it is not within the readable bytes.
    fileprivate func slice(_ range: Range<Int>) -> ByteBuffer {
        self.getSlice(at: self.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
    }
}
