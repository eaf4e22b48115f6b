// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// The certificate of the other end of a connection between servers, and what it proves (RFC 6125, RFC 7590, RFC 7673).
package struct PeerCertificate: Sendable {
    package let info: CertificateInfo
    /// Why its chain is not good; nil: it is.
    package let chainFault: String?
    /// Whether records of DNS decided (RFC 7673): that it matches them, or not; nil: there were none.
    package let isProvedByDANE: Bool?

    /// What came of TLSA records.
    enum DANEResult {
        case noMatch
        case match(usage: UInt8)
    }

    /// Judges a certificate by OpenSSL's verdict on its chain, the extended key usage of it and of those between it and
    /// the root, and what came of TLSA records (nil: there are none that can be used); the peer may be the server.
    init(_ certificate: OpaquePointer, verification: CLong, usages: [UInt32], isServer: Bool, dane: DANEResult?) {
        info = unsafe CertificateInfo(certificate: certificate)
        let usageFault = Self.usageFault(usages, isServer: isServer)
        chainFault = Self.fault(of: verification) ?? usageFault
        switch dane {
        case nil: isProvedByDANE = nil
        case .noMatch?: isProvedByDANE = false
        // RFC 7671 §5.1: of a certificate that is named itself, nothing but its key counts.
        case .match(let usage)?: isProvedByDANE = usage == 3 || usageFault == nil
        }
    }

    /// Why it does not prove a domain, in words that complete "the certificate …"; nil: it does.
    ///
    /// The domain is given in A-labels, as it is in dNSName and SRVName, and as a prepared address, as it is in xmppAddr
    /// (RFC 6120 §13.7.1.4), where that differs.
    package func fault(for dnsName: String, address: String? = nil) -> String? {
        switch isProvedByDANE {
        case true?: return nil
        case false?: return "does not match the TLSA records of the domain" + (chainFault.map { " (it \($0))" } ?? "")
        case nil: break
        }
        if let chainFault { return chainFault }
        if info.isFor(dnsName) || info.serviceNames.contains("_xmpp-server.\(dnsName.lowercased())") { return nil }
        if let address, info.names.contains(address) { return nil }
        let names = info.names.prefix(3).joined(separator: ", ")
        return "is for \(names.isEmpty ? "no name" : names), not for \(dnsName)"
    }

    /// In words for people; the last error that OpenSSL found.
    private static func fault(of verification: CLong) -> String? {
        switch CInt(truncatingIfNeeded: verification) {
        case X509_V_OK: nil
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: "is signed by itself"
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED:
            "is signed by an authority that is not trusted here"
        case X509_V_ERR_CERT_HAS_EXPIRED: "has expired"
        case X509_V_ERR_CERT_NOT_YET_VALID: "is not valid yet"
        case X509_V_ERR_HOSTNAME_MISMATCH: "is for another name"
        case X509_V_ERR_DANE_NO_MATCH: "is none of those that they name"
        default:
            unsafe "cannot be trusted: \(X509_verify_cert_error_string(verification).map { unsafe String(cString: $0) } ?? "")"
        }
    }

    /// Public authorities issue for servers only (since 2026): such a certificate does for both directions. One for
    /// clients alone is none of a server's.
    ///
    /// An authority that may only issue for other purposes, such as e-mail, cannot issue for these: the usage of all
    /// in the chain counts, as browsers and authorities have it.
    private static func usageFault(_ usages: [UInt32], isServer: Bool) -> String? {
        if allow(usages, UInt32(XKU_SSL_SERVER)) { return nil }
        let isForClients = allow(usages, UInt32(XKU_SSL_CLIENT))
        if isForClients { return isServer ? "is for clients, not for servers" : nil }
        return "is not for servers"
    }

    /// Whether each of the certificates may be used for a purpose; those that name none may.
    private static func allow(_ usages: [UInt32], _ purpose: UInt32) -> Bool {
        usages.allSatisfy { $0 == UInt32.max || $0 & (purpose | UInt32(XKU_ANYEKU)) != 0 }
    }
}
