// SPDX-License-Identifier: Apache-2.0

import NIOCore

extension StreamElement {
    /// An element that a judge has read and that may stay as it is.
    init(judged judge: StreamJudge, _ bytes: ByteBuffer, _ stanza: StanzaOutline.Part) {
        self.init(name: judge.name, namespace: judge.namespace, bytes: bytes, content: bytes.slice(stanza.content))
    }

    /// An element of an internal link, read from its tags alone. Nil if its own start tag cannot be read.
    init?(linkBytes bytes: ByteBuffer, _ stanza: StanzaOutline.Part, _ root: StreamRoot) {
        guard let tag = TagParser(bytes) else { return nil }
        let inherited = root.defaultNamespace.isEmpty ? root.contentNamespace : root.defaultNamespace
        let resolved = tag.resolved(inheriting: inherited)
        guard let namespace = resolved.namespace else { return nil }
        self.init(name: resolved.name, namespace: namespace, bytes: bytes, content: bytes.slice(stanza.content))
    }
}

extension StreamElementTag {
    /// The first element in the content of a wrapper. Nil if there is none, or it cannot be read.
    init?(firstIn content: ByteBuffer) {
        guard let part = StanzaOutline.firstElement(in: content) else { return nil }
        let bytes = content.slice(part.tag.lowerBound..<part.end)
        guard let tag = TagParser(bytes) else { return nil }
        // On internal links the content namespace is that of XEP-0114.
        let resolved = tag.resolved(inheriting: StreamRoot.componentNamespace)
        name = resolved.name
        namespace = resolved.namespace ?? ""
        attributes = tag.attributes
        self.bytes = bytes
        self.content = content.slice(part.content)
    }
}
