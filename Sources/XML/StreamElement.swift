// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One child of a stream's root: what its start tag says, and its bytes.
///
/// `content` is self-contained: it uses no prefix that is declared outside it, and a child without a prefix or an
/// `xmlns` of its own is in `namespace`. Attributes are read off the bytes when they are asked for.
package struct StreamElement: Sendable {
    /// The local name.
    package var name: String

    /// The namespace; on an internal link the prefix `j` stands for `urn:jackdaw:link:0`.
    package var namespace: String

    /// The whole element. From an internal link it is as read and may be forwarded; from a foreign peer it is as
    /// read, or written anew where it needed something from the stream's root.
    package var bytes: ByteBuffer

    /// What stands between the start tag and the end tag.
    package var content: ByteBuffer

    /// Attributes that were given or changed; nil while those of the bytes hold.
    private var given: [TagAttribute]?

    /// An element that was read; its start tag is the first thing in `bytes`.
    init(name: String, namespace: String, bytes: ByteBuffer, content: ByteBuffer) {
        self.name = name
        self.namespace = namespace
        self.bytes = bytes
        self.content = content
    }

    /// An element that was put together.
    package init(
        name: String,
        namespace: String,
        attributes: [TagAttribute] = [],
        content: ByteBuffer = ByteBuffer()
    ) {
        self.init(name: name, namespace: namespace, bytes: ByteBuffer(), content: content)
        self.given = attributes
    }

    /// The attributes as written, with `xmlns:x` declarations and without a plain `xmlns`.
    package var attributes: [TagAttribute] {
        get { self.given ?? TagParser(self.bytes)?.attributes ?? [] }
        set { self.given = newValue }
    }

    /// The value of an attribute, by its name as written.
    package subscript(_ name: String) -> String? {
        self.attributes.value(of: name)
    }

    /// Whether the start tag is the one in `bytes`.
    package var hasOwnTag: Bool { self.given == nil }

    /// Name and namespace of the first child element.
    package var payload: (name: String, namespace: String)? {
        // What has a prefix that is fixed on internal links leaves the stream's default namespace in force.
        let isPrefixed = self.namespace == StreamRoot.linkNamespace || self.namespace == StreamRoot.streamsNamespace
        return Self.firstTag(
            in: self.content,
            inheriting: isPrefixed ? StreamRoot.componentNamespace : self.namespace
        )
    }

    /// Name and namespace of the first element among self-contained bytes, in which `namespace` is the default.
    package static func firstTag(
        in content: ByteBuffer,
        inheriting namespace: String
    ) -> (name: String, namespace: String)? {
        TagParser.firstTag(in: content, inheriting: namespace)
    }

    /// The first child of a `<j:route>` on an internal link.
    package var inner: StreamElementTag? {
        guard self.namespace == StreamRoot.linkNamespace, self.name == "route" else { return nil }
        return StreamElementTag(firstIn: self.content)
    }

    /// Parses the content into a tree.
    package func element(limits: Element.Limits = Element.Limits()) throws(XMLParseError) -> Element {
        try Element(
            name,
            namespace,
            tagAttributes: attributes,
            children: Element.parseFragment(content, namespace: namespace, limits: limits)
        )
    }
}

/// The first child of a `<j:route>`, read as far as `StreamElement` reads a stanza.
package struct StreamElementTag: Sendable {
    /// The local name.
    package let name: String

    /// The namespace, the stream's content namespace if the tag does not say otherwise.
    package let namespace: String

    /// The attributes as written, with `xmlns:x` declarations and without a plain `xmlns`.
    package let attributes: [TagAttribute]

    /// The whole element as read.
    package let bytes: ByteBuffer

    /// What stands between the start tag and the end tag.
    package let content: ByteBuffer

    /// Name and namespace of the first child element.
    package var payload: (name: String, namespace: String)? {
        TagParser.firstTag(in: self.content, inheriting: self.namespace)
    }

    /// The value of an attribute, by its name as written.
    package subscript(_ name: String) -> String? {
        self.attributes.value(of: name)
    }

    /// Parses the content into a tree.
    package func element(limits: Element.Limits = Element.Limits()) throws(XMLParseError) -> Element {
        try Element(
            name,
            namespace,
            tagAttributes: attributes,
            children: Element.parseFragment(content, namespace: namespace, limits: limits)
        )
    }
}
