// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// What a reader remembers of a stream's root once the parser that read it may be gone.
struct StreamRoot: Equatable {
    /// The name as written, which the end tag must repeat.
    var writtenName: String
    /// The default namespace, empty if there is none.
    var defaultNamespace: String
    /// The prefixes that the root declares, as attributes `xmlns:x`.
    var prefixes: [TagAttribute]
    /// The namespace of stanzas here.
    var contentNamespace: String

    static let streamsNamespace = "http://etherx.jabber.org/streams"
    static let linkNamespace = "urn:jackdaw:link:0"
    static let componentNamespace = "jabber:component:accept"

    /// Those of RFC 6120 §4.8.2 and XEP-0114, as UTF-8.
    static let contentNamespaces = ["jabber:client", "jabber:server", "jabber:component:accept"].map { Array($0.utf8) }

    /// Whether a namespace is one of those, or that of the stream.
    static func isContentNamespace(_ namespace: String, _ streamsOwn: String) -> Bool {
        namespace == streamsOwn || self.contentNamespaces.contains { namespace.utf8.elementsEqual($0) }
    }

    /// What a prefix means to a reader that does not resolve namespaces: both are fixed on internal links.
    static func namespace(ofPrefix prefix: String) -> String? {
        switch prefix {
        case "j": Self.linkNamespace
        case "stream": Self.streamsNamespace
        default: nil
        }
    }

    /// As seen by elements that do not need the root.
    var withoutPrefixes: StreamRoot {
        var root = self
        root.prefixes = []
        root.defaultNamespace = self.contentNamespace
        return root
    }

    /// The declarations as attributes with their names as written.
    var declarations: [TagAttribute] {
        [TagAttribute(name: "xmlns", value: self.defaultNamespace)] + self.prefixes
    }

    /// A root that declares what the stream's root declared, for a parser that begins in the middle of the stream.
    var primer: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeStaticString("<root")
        for declaration in self.declarations where declaration.name != "xmlns" || !declaration.value.isEmpty {
            XMLEscape.writeAttribute(declaration.name, declaration.value, to: &buffer)
        }
        buffer.writeStaticString(">")
        return buffer
    }

    /// Judges a header (RFC 6120 §4.8, §4.9.3.1, §4.9.3.10).
    init(
        header: StreamHeader,
        writtenName: String,
        contentNamespaces: Set<String>
    ) throws(StreamReader.Failure) {
        guard header.namespace == Self.streamsNamespace else { throw .invalidNamespace }
        guard header.name == "stream" else { throw .badFormat }
        self.writtenName = writtenName
        self.defaultNamespace = header.contentNamespace ?? ""
        self.prefixes = header.attributes.filter { $0.name.utf8.starts(with: "xmlns:".utf8) }
        // The content namespace may also be declared stanza by stanza, or with a prefix (RFC 6120 §4.8.2).
        switch header.contentNamespace {
        case nil, Self.streamsNamespace, "":
            self.contentNamespace = contentNamespaces.count == 1 ? contentNamespaces.first ?? "" : ""
        case .some(let namespace):
            guard contentNamespaces.isEmpty || contentNamespaces.contains(namespace) else { throw .invalidNamespace }
            self.contentNamespace = namespace
        }
    }
}
