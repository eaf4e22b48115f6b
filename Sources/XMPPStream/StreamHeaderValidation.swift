// SPDX-License-Identifier: Apache-2.0

package import XML
package import XMPPCore

/// What is wrong with a stream header (RFC 6120 section 4.9.3).
package enum StreamHeaderFault: String, Error, CaseIterable, Hashable, Sendable {
    case badFormat = "bad-format"
    case hostUnknown = "host-unknown"
    case improperAddressing = "improper-addressing"
    case invalidNamespace = "invalid-namespace"
    case unsupportedVersion = "unsupported-version"

    /// The error to end the stream with.
    package var streamError: StreamError {
        switch self {
        case .badFormat: StreamError(.badFormat)
        case .hostUnknown: StreamError(.hostUnknown)
        case .improperAddressing: StreamError(.improperAddressing)
        case .invalidNamespace: StreamError(.invalidNamespace)
        case .unsupportedVersion: StreamError(.unsupportedVersion)
        }
    }
}

/// A version of XMPP: `major.minor`, compared as numbers (RFC 6120 section 4.7.5).
package struct StreamVersion: Hashable, Comparable, Sendable {
    package static let current = StreamVersion(major: 1, minor: 0)

    package let major: Int
    package let minor: Int

    package init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Parses `1.0`; leading zeros are ignored. Nil if the text is no version.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Self.number(parts[0]), let minor = Self.number(parts[1]) else {
            return nil
        }
        self.init(major: major, minor: minor)
    }

    package static func < (one: StreamVersion, other: StreamVersion) -> Bool {
        (one.major, one.minor) < (other.major, other.minor)
    }

    private static func number(_ digits: Substring.UTF8View) -> Int? {
        guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return Int(Substring(digits)) ?? Int.max
    }
}

/// Judges the header that a peer opened its stream with (RFC 6120 sections 4.7 to 4.9).
package struct StreamHeaderValidation: Sendable {
    /// What a good header says.
    package struct Opening: Hashable, Sendable {
        /// The hosted domain, prepared.
        package let to: String
        package let from: JID?
        package let language: String?
        /// The lower of the peer's version and ours.
        package let version: StreamVersion
    }

    /// The namespace of the stanzas that are spoken here.
    package let contentNamespace: String
    /// The domains that are served, prepared.
    package let domains: Set<String>

    package init(contentNamespace: String, domains: Set<String>) {
        self.contentNamespace = contentNamespace
        self.domains = domains
    }

    /// Judges the header. The order is that of the RFC's rules: what the stream is, what it speaks, whom it is for.
    package func validate(_ header: StreamHeader) throws(StreamHeaderFault) -> Opening {
        guard header.namespace == StreamHeaderWriter.streamNamespace else { throw .invalidNamespace }
        guard header.name == "stream" else { throw .badFormat }
        // Without a default namespace the stanzas have to say theirs (RFC 6120 section 4.8.4).
        let declared = header.contentNamespace
        guard declared == nil || declared == contentNamespace || declared == StreamHeaderWriter.streamNamespace else {
            throw .invalidNamespace
        }
        // No version stands for 0.9, which knows no features and no SASL.
        guard let text = header["version"], let version = StreamVersion(text), version.major >= 1 else {
            throw .unsupportedVersion
        }
        return Opening(
            to: try domain(header["to"]),
            from: try address(header["from"]),
            language: header["xml:lang"].flatMap { $0.isEmpty ? nil : $0 },
            version: min(version, .current)
        )
    }

    /// `to` must be there, be a domain, and be ours.
    private func domain(_ text: String?) throws(StreamHeaderFault) -> String {
        guard let address = try address(text), address.isBare, address.local == nil else {
            throw .improperAddressing
        }
        guard domains.contains(address.domain) else { throw .hostUnknown }
        return address.domain
    }

    private func address(_ text: String?) throws(StreamHeaderFault) -> JID? {
        guard let text else { return nil }
        guard let address = try? JID(text) else { throw .improperAddressing }
        return address
    }
}
