// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One child of a stream's root: what its start tag says, and its bytes.
///
/// `content` is self-contained: it uses no prefix that is declared outside it, and a child without a prefix or an
/// `xmlns` of its own is in `namespace`.
package struct StreamElement: Sendable {
    /// The local name.
    package var name: String

    /// The namespace; on an internal link the prefix `j` stands for `urn:jackdaw:link:0`.
    package var namespace: String

    /// The attributes as written, with `xmlns:x` declarations and without a plain `xmlns`.
    package var attributes: [TagAttribute]

    /// The whole element. From an internal link it is as read and may be forwarded; from a foreign peer it is as
    /// read, or written anew where it needed something from the stream's root.
    package var bytes: ByteBuffer

    /// What stands between the start tag and the end tag.
    package var content: ByteBuffer

    /// Name and namespace of the first child element.
    package var payload: (name: String, namespace: String)?

    /// The first child of a `<j:route>` on an internal link.
    package var inner: StreamElementTag?

    package init(
        name: String,
        namespace: String,
        attributes: [TagAttribute] = [],
        bytes: ByteBuffer = ByteBuffer(),
        content: ByteBuffer = ByteBuffer(),
        payload: (name: String, namespace: String)? = nil,
        inner: StreamElementTag? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.attributes = attributes
        self.bytes = bytes
        self.content = content
        self.payload = payload
        self.inner = inner
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

/// The only child of a `<j:route>`, read as far as `StreamElement` reads a stanza.
package struct StreamElementTag: Sendable {
    /// The local name.
    package var name: String

    /// The namespace, the stream's content namespace if the tag does not say otherwise.
    package var namespace: String

    /// The attributes as written, with `xmlns:x` declarations and without a plain `xmlns`.
    package var attributes: [TagAttribute]

    /// The whole element as read.
    package var bytes: ByteBuffer

    /// What stands between the start tag and the end tag.
    package var content: ByteBuffer

    /// Name and namespace of the first child element.
    package var payload: (name: String, namespace: String)?

    package init(
        name: String,
        namespace: String,
        attributes: [TagAttribute] = [],
        bytes: ByteBuffer = ByteBuffer(),
        content: ByteBuffer = ByteBuffer(),
        payload: (name: String, namespace: String)? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.attributes = attributes
        self.bytes = bytes
        self.content = content
        self.payload = payload
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
