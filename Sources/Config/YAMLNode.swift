// SPDX-License-Identifier: Apache-2.0

/// A place in the file, both from 1.
package struct Mark: Sendable, Hashable {
    package var line: Int
    package var column: Int

    static let start = Mark(line: 1, column: 1)
}

/// A node of a YAML document, with the place where it starts.
struct YAMLNode: Sendable {
    enum Content: Sendable {
        /// Plain: written without quotes, so that `~` is null and `yes` is true.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    struct Entry: Sendable {
        let key: String
        let keyMark: Mark
        let value: YAMLNode
    }

    let content: Content
    let mark: Mark

    /// Whether this is a null: nothing, `~` or `null`.
    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    /// The node as a message names it.
    var kind: String {
        switch content {
        case .scalar(let text, _): isNull ? "nothing" : "'\(text)'"
        case .sequence: "a list"
        case .mapping: "a section"
        }
    }
}

/// Why a file is not a YAML document that we read.
struct YAMLError: Error, Equatable {
    let mark: Mark
    let text: String
}
