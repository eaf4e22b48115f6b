// SPDX-License-Identifier: Apache-2.0

import TLS

/// How a domain was proved.
enum AuthenticationMethod: String, Sendable {
    /// A certificate, by SASL EXTERNAL or as dialback without a question back (XEP-0220 §2.6).
    case certificate
    /// TLSA records that DNSSEC proved (RFC 7673).
    case dane
    case dialback
}

/// What TLS told of the other end.
struct PeerIdentity: Sendable {
    /// As OpenSSL writes it: `TLSv1.3`.
    var tlsVersion: String
    var cipher: String
    /// Nil: the peer showed none.
    var certificate: CertificateInfo?
    /// What the certificate is worth for a domain.
    var judge: @Sendable (_ domain: String) -> CertificateVerdict

    init(
        tlsVersion: String,
        cipher: String,
        certificate: CertificateInfo?,
        judge: @escaping @Sendable (_ domain: String) -> CertificateVerdict
    ) {
        self.tlsVersion = tlsVersion
        self.cipher = cipher
        self.certificate = certificate
        self.judge = judge
    }
}

/// Whether a certificate proves a domain.
enum CertificateVerdict: Equatable, Sendable {
    case proved(AuthenticationMethod)
    /// It does not; the reason completes "the certificate of example.net …".
    case doubtful(String)
    /// TLSA records say that the domain's is another (RFC 7673 §4.1): nothing else can prove it then.
    case refuted(String)

    var method: AuthenticationMethod? {
        if case .proved(let method) = self { method } else { nil }
    }

    var reason: String? {
        switch self {
        case .proved: nil
        case .doubtful(let reason), .refuted(let reason): reason
        }
    }
}
