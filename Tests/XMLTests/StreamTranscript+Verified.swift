// SPDX-License-Identifier: Apache-2.0

import Testing
import XMLTestSupport

extension StreamTranscript {
    /// The lines for the bytes in one piece, having checked that no other division makes a difference.
    func verified(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
        let whole = self.lines([bytes])
        let single = self.lines(bytes.map { [$0] })
        #expect(single == whole, "byte by byte", sourceLocation: sourceLocation)
        for cut in bytes.indices {
            let parts = self.lines([Array(bytes[..<cut]), Array(bytes[cut...])])
            if parts != whole {
                Issue.record("cut at \(cut): \(parts) instead of \(whole)", sourceLocation: sourceLocation)
                break
            }
        }
        return whole
    }

    func verified(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
        self.verified(Array(text.utf8), sourceLocation: sourceLocation)
    }
}
