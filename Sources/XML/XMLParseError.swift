// SPDX-License-Identifier: Apache-2.0

/// Why a piece of XML could not become a tree.
package enum XMLParseError: Error, Equatable, Sendable {
    /// Not well-formed, or not UTF-8.
    case notWellFormed
    /// A DTD, a comment, a processing instruction or an entity other than the five (RFC 6120 §11.1).
    case restrictedXML
    /// A prefix that nothing declares.
    case undeclaredPrefix
    /// More levels of elements than `Element.Limits.depth`.
    case tooDeep
    /// More elements, or more attributes in one, than `Element.Limits` allows.
    case tooLarge
}
