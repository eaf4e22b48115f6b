// SPDX-License-Identifier: Apache-2.0

/// The start tag of a stream's root (RFC 6120 §4.2, §4.8).
package struct StreamHeader: Sendable, Equatable {
    /// The namespace of the root, `http://etherx.jabber.org/streams` for all that pass a `StreamReader`.
    package var namespace: String

    /// The local name of the root, `stream`.
    package var name: String

    /// The default namespace that the root declares: that of the stanzas (RFC 6120 §4.8.2).
    package var contentNamespace: String?

    /// The attributes as written, with `xmlns:x` declarations and without a plain `xmlns`.
    package var attributes: [TagAttribute]

    package init(namespace: String, name: String, contentNamespace: String?, attributes: [TagAttribute]) {
        self.namespace = namespace
        self.name = name
        self.contentNamespace = contentNamespace
        self.attributes = attributes
    }

    /// The value of an attribute, by its name as written.
    package subscript(_ name: String) -> String? {
        self.attributes.value(of: name)
    }
}
