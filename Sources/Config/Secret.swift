// SPDX-License-Identifier: Apache-2.0

/// Text that must not appear in a log: what prints it prints `<redacted>`.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text itself; name it where it is used and nowhere else.
    package let revealed: String

    package init(_ text: String) {
        self.revealed = text
    }

    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
