// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// What operators and tests want to know of a certificate.
package struct CertificateInfo: Sendable, Equatable {
    /// SHA-256 over the DER form.
    package var fingerprint: [UInt8]
    /// Seconds since 1970 at which it starts to be valid.
    package var notBefore: Int64
    /// Seconds since 1970 at which it ceases to be valid.
    package var notAfter: Int64
    /// The names it is for: dNSName and id-on-xmppAddr of subjectAltName (RFC 6120 §13.7.1.2), in lower case.
    package var names: [String]
    /// Its SRVNames (RFC 4985), `_xmpp-server.example.net`, in lower case.
    package var serviceNames: [String]
    /// The name of who signed it, for people.
    package var issuer: String

    /// The fingerprint the way that OpenSSL and browsers print it: `AB:CD:…`.
    package var fingerprintText: String {
        let digits = Array("0123456789ABCDEF".utf8)
        var text: [UInt8] = []
        for (index, byte) in fingerprint.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ":")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The days from a moment (seconds since 1970) until it ceases to be valid; negative afterwards.
    package func daysLeft(now: Int64) -> Int64 { (notAfter - now) / 86_400 }

    /// Whether it names a domain, directly or by a wildcard for its first label (RFC 6125 §6.4).
    package func isFor(_ domain: String) -> Bool {
        let domain = domain.lowercased()
        if names.contains(domain) { return true }
        guard let dot = domain.firstIndex(of: ".") else { return false }
        return names.contains("*" + domain[dot...])
    }

    /// Reads the first certificate of a PEM file.
    package init(file: String) throws(TLSError) {
        guard let bio = unsafe BIO_new_file(file, "r") else {
            throw .certificate(file: file, reason: ErrorQueue.takeFirst() ?? "cannot be opened")
        }
        defer { unsafe BIO_free(bio) }
        guard let certificate = unsafe PEM_read_bio_X509(bio, nil, nil, nil) else {
            throw .certificate(file: file, reason: ErrorQueue.takeFirst() ?? "is no PEM certificate")
        }
        defer { unsafe X509_free(certificate) }
        unsafe self.init(certificate: certificate)
    }

    init(certificate: OpaquePointer) {
        fingerprint = unsafe Self.digest(of: certificate, with: EVP_sha256()) ?? []
        notBefore = unsafe Self.epochSeconds(X509_get0_notBefore(certificate))
        notAfter = unsafe Self.epochSeconds(X509_get0_notAfter(certificate))
        names = unsafe Self.alternativeNames(of: certificate) { name, length in
            if let text = unsafe COpenSSL_GENERAL_NAME_dns(name, &length) { return unsafe text }
            // A wildcard is one in a dNSName alone.
            guard let text = unsafe COpenSSL_GENERAL_NAME_xmpp(name, &length), length > 0 else { return nil }
            return unsafe text[0] == UInt8(ascii: "*") ? nil : text
        }
        serviceNames = unsafe Self.alternativeNames(of: certificate) { name, length in
            unsafe COpenSSL_GENERAL_NAME_srv(name, &length)
        }
        issuer = unsafe Self.issuer(of: certificate)
    }

    /// The hash of `tls-server-end-point` (RFC 5929 §4.1): that of the certificate's signature, but SHA-256 where it
    /// is MD5 or SHA-1, and none where the signature has no single hash.
    static func serverEndPoint(of certificate: OpaquePointer) -> [UInt8]? {
        var digestID: CInt = 0
        guard unsafe OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digestID, nil) == 1,
            digestID != NID_undef
        else { return nil }
        let isWeak = digestID == NID_md5 || digestID == NID_sha1 || digestID == NID_md5_sha1
        return unsafe digest(of: certificate, with: isWeak ? EVP_sha256() : COpenSSL_digest_by_nid(digestID))
    }

    private static func digest(of certificate: OpaquePointer, with algorithm: OpaquePointer?) -> [UInt8]? {
        guard let algorithm = unsafe algorithm else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: CUnsignedInt = 0
        guard unsafe X509_digest(certificate, algorithm, &bytes, &count) == 1 else { return nil }
        return Array(bytes.prefix(Int(count)))
    }

    private static func epochSeconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        guard let time = unsafe time, let epoch = unsafe ASN1_TIME_set(nil, 0) else { return 0 }
        defer { unsafe ASN1_STRING_free(epoch) }
        var days: CInt = 0
        var seconds: CInt = 0
        guard unsafe ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return 0 }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    /// The common name or the organisation of the issuer.
    private static func issuer(of certificate: OpaquePointer) -> String {
        guard let name = unsafe X509_get_issuer_name(certificate) else { return "" }
        for kind in [NID_commonName, NID_organizationName] {
            var text = [UInt8](repeating: 0, count: 256)
            let count = unsafe text.withUnsafeMutableBytes { bytes in
                unsafe X509_NAME_get_text_by_NID(
                    name,
                    kind,
                    bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                    CInt(bytes.count)
                )
            }
            if count > 0 { return String(decoding: text.prefix(Int(count)), as: UTF8.self) }
        }
        return ""
    }

    private static func alternativeNames(
        of certificate: OpaquePointer,
        _ read: (UnsafeMutablePointer<GENERAL_NAME>, inout CInt) -> UnsafePointer<UInt8>?
    ) -> [String] {
        guard let raw = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
        let names = OpaquePointer(raw)
        defer { unsafe GENERAL_NAMES_free(names) }
        var result: [String] = []
        let count = unsafe COpenSSL_GENERAL_NAMES_count(names)
        for index in 0..<max(0, count) {
            guard let name = unsafe COpenSSL_GENERAL_NAMES_at(names, index) else { continue }
            var length: CInt = 0
            guard let text = unsafe read(name, &length), length > 0 else { continue }
            let bytes = unsafe UnsafeBufferPointer(start: text, count: Int(length))
            let string = unsafe String(decoding: bytes, as: UTF8.self).lowercased()
            if !result.contains(string) { result.append(string) }
        }
        return result
    }
}
