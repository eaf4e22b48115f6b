// SPDX-License-Identifier: Apache-2.0

/// An attribute of a start tag, as written: the name with its prefix, the value unescaped.
package struct TagAttribute: Sendable, Equatable {
    /// The name as written: `to`, `xml:lang`, `xmlns:x`.
    package var name: String

    /// The value with references and white space resolved.
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

extension [TagAttribute] {
    /// The value of the attribute with this name as written.
    func value(of name: String) -> String? {
        self.first { $0.name == name }?.value
    }
}
