// SPDX-License-Identifier: Apache-2.0

/// One thing that is wrong with a configuration file, and where.
package struct ConfigurationIssue: Sendable, Equatable {
    package let mark: Mark?
    package let text: String
}

/// All that is wrong with a configuration, one line each: `file:line:column: text`.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    package let file: String
    package let issues: [ConfigurationIssue]

    package var lines: [String] {
        issues.map { issue in
            guard let mark = issue.mark else { return "\(file): \(issue.text)" }
            return "\(file):\(mark.line):\(mark.column): \(issue.text)"
        }
    }

    package var description: String { lines.joined(separator: "\n") }
}
