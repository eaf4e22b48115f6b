// SPDX-License-Identifier: Apache-2.0

/// One line of what `--check` finds.
package struct CheckFinding: Sendable, Equatable {
    package enum Severity: String, Sendable {
        case ok
        case warning
        case error
    }
    package let severity: Severity
    /// What was looked at: `certificate localhost`; without `: `.
    package let subject: String
    package let text: String

    package init(_ severity: Severity, _ subject: String, _ text: String) {
        self.severity = severity
        self.subject = subject
        self.text = text
    }

    /// `ok      certificate localhost: 89 days left`, which `jackdawctl check` reads again.
    package var line: String {
        let padding = String(repeating: " ", count: max(1, 8 - severity.rawValue.utf8.count))
        let oneLine = String(text.map { $0.isNewline ? " " : $0 })
        return "\(severity.rawValue)\(padding)\(subject): \(oneLine)"
    }

    /// Reads such a line.
    package init?(line: String) {
        guard
            let space = line.firstIndex(of: " "), let severity = Severity(rawValue: String(line[..<space])),
            let subjectStart = line[space...].firstIndex(where: { $0 != " " })
        else { return nil }
        let rest = line[subjectStart...]
        var colon = rest.startIndex
        while let found = rest[colon...].firstIndex(of: ":") {
            let next = rest.index(after: found)
            if next < rest.endIndex, rest[next] == " " {
                self.init(severity, String(rest[..<found]), String(rest[rest.index(after: next)...]))
                return
            }
            colon = next
        }
        return nil
    }
}
