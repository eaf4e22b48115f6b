// SPDX-License-Identifier: Apache-2.0

/// What DNS said.
package struct Answer: Sendable, Equatable {
    /// The data of the records, as they are on the wire.
    package var records: [[UInt8]]
    /// DNSSEC proved it, that there are none included.
    package var isSecure: Bool
    /// There is no such name at all.
    package var isNameUnknown: Bool

    package init(records: [[UInt8]], isSecure: Bool, isNameUnknown: Bool) {
        self.records = records
        self.isSecure = isSecure
        self.isNameUnknown = isNameUnknown
    }
}

/// Why there is no answer.
package enum ResolverError: Error, Equatable, CustomStringConvertible {
    /// No server answered in time.
    case timeout
    /// DNSSEC says that the answer is forged or broken; the text says why.
    case bogus(String)
    /// A server refused, or failed.
    case failed(String)
    /// Too many questions are under way.
    case overloaded

    package var description: String {
        switch self {
        case .timeout: "DNS gave no answer in time"
        case .bogus(let reason): "DNSSEC proves the answer of DNS wrong: \(reason)"
        case .failed(let reason): "DNS failed: \(reason)"
        case .overloaded: "too many questions to DNS are under way"
        }
    }
}
