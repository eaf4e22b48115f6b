// SPDX-License-Identifier: Apache-2.0

/// Why an element of one of our own namespaces could not be read. Such an element is logged and dropped.
package enum LinkFault: Error, Sendable, Equatable {
    /// The wrapper or request holds no child element.
    case noPayload
    /// The element's name or namespace is none that we know.
    case unknownElement(String)
    /// A required attribute is not there.
    case missingAttribute(String)
    /// An attribute's value cannot be read.
    case badAttribute(String)
    /// A stanza or a child element that should be inside cannot be read.
    case badContent(String)
}
