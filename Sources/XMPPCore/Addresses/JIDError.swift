// SPDX-License-Identifier: Apache-2.0

/// Why a string is not an address: which part of it, and which rule of RFC 7622 it breaks.
package struct JIDError: Error, Hashable, Sendable {
    /// The parts of an address (RFC 7622 section 3.1).
    package enum Part: String, Hashable, Sendable {
        case local
        case domain
        case resource
    }

    /// The rule that the part breaks.
    package enum Reason: String, Hashable, Sendable {
        case empty = "is empty"
        case tooLong = "is longer than 1023 bytes"
        case forbiddenCharacter = "contains a character that is not allowed there"
        case contextRule = "contains a character in a place where it is not allowed"
        case direction = "mixes writing directions in a way that is not allowed"
        case unstable = "has no stable normal form"
        case malformedLabel = "has a label that is not a host name's"
        case malformedAddressLiteral = "has an IP address literal that is none"
    }

    package let part: Part
    package let reason: Reason

    package init(_ part: Part, _ reason: Reason) {
        self.part = part
        self.reason = reason
    }
}

extension JIDError: CustomStringConvertible {
    package var description: String { "the \(part.rawValue) part \(reason.rawValue)" }
}
