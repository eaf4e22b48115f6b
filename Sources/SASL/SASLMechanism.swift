// SPDX-License-Identifier: Apache-2.0

/// The mechanisms that we know, strongest first (RFC 5802, RFC 7677, RFC 4616).
package enum SASLMechanism: String, CaseIterable, Hashable, Sendable {
    case scramSHA512Plus = "SCRAM-SHA-512-PLUS"
    case scramSHA256Plus = "SCRAM-SHA-256-PLUS"
    case scramSHA1Plus = "SCRAM-SHA-1-PLUS"
    case scramSHA512 = "SCRAM-SHA-512"
    case scramSHA256 = "SCRAM-SHA-256"
    case scramSHA1 = "SCRAM-SHA-1"
    case plain = "PLAIN"

    /// The hash of a SCRAM mechanism.
    package var hash: SCRAMHash? {
        switch self {
        case .scramSHA512Plus, .scramSHA512: .sha512
        case .scramSHA256Plus, .scramSHA256: .sha256
        case .scramSHA1Plus, .scramSHA1: .sha1
        case .plain: nil
        }
    }

    /// Whether the mechanism is bound to the TLS connection.
    package var usesChannelBinding: Bool {
        switch self {
        case .scramSHA512Plus, .scramSHA256Plus, .scramSHA1Plus: true
        case .scramSHA512, .scramSHA256, .scramSHA1, .plain: false
        }
    }

    /// The mechanisms to offer: -PLUS only where there is something to bind to, PLAIN only if the caller says that
    /// the connection is encrypted.
    package static func offered(
        enabled: [SASLMechanism] = allCases,
        bindings: ChannelBindings,
        isEncrypted: Bool
    ) -> [SASLMechanism] {
        enabled.filter { mechanism in
            if mechanism.usesChannelBinding { return !bindings.isEmpty }
            return mechanism != .plain || isEncrypted
        }
    }
}

/// The data of the TLS connection that a -PLUS mechanism is bound to.
package struct ChannelBindings: Hashable, Sendable {
    /// The types of binding data by the names that are registered with IANA.
    package enum Kind: String, CaseIterable, Hashable, Sendable {
        /// RFC 9266.
        case tlsExporter = "tls-exporter"
        /// RFC 5929 section 4.
        case tlsServerEndPoint = "tls-server-end-point"
    }

    package var tlsExporter: [UInt8]?
    package var tlsServerEndPoint: [UInt8]?

    package init(tlsExporter: [UInt8]? = nil, tlsServerEndPoint: [UInt8]? = nil) {
        self.tlsExporter = tlsExporter
        self.tlsServerEndPoint = tlsServerEndPoint
    }

    package static let none = ChannelBindings()

    package var isEmpty: Bool { tlsExporter == nil && tlsServerEndPoint == nil }

    /// The types that are there, for the announcement of XEP-0440.
    package var kinds: [Kind] { Kind.allCases.filter { self[$0] != nil } }

    package subscript(kind: Kind) -> [UInt8]? {
        switch kind {
        case .tlsExporter: tlsExporter
        case .tlsServerEndPoint: tlsServerEndPoint
        }
    }
}

/// The conditions of a failure of SASL (RFC 6120 section 6.5), by the names of their elements.
package enum SASLFailure: String, Error, CaseIterable, Hashable, Sendable {
    case aborted = "aborted"
    case accountDisabled = "account-disabled"
    case credentialsExpired = "credentials-expired"
    case encryptionRequired = "encryption-required"
    case incorrectEncoding = "incorrect-encoding"
    case invalidAuthzid = "invalid-authzid"
    case invalidMechanism = "invalid-mechanism"
    case malformedRequest = "malformed-request"
    case mechanismTooWeak = "mechanism-too-weak"
    case notAuthorized = "not-authorized"
    case temporaryAuthFailure = "temporary-auth-failure"
}
