// SPDX-License-Identifier: Apache-2.0

import Glibc

/// `print(…, to: &standardError)`.
struct StandardError: TextOutputStream {
    mutating func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// Holds no state, so it is no shared state either.
var standardError: StandardError {
    get { StandardError() }
    set {}
}
