// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import NIOCore

/// What is known of a connection when its handshake is done.
package struct TLSInfo: Sendable, Equatable {
    /// As OpenSSL writes it: `TLSv1.3`.
    package var version: String
    package var cipher: String
    /// The protocol that both agreed on (RFC 7301).
    package var alpn: String?
    /// The name that the client asked for (RFC 6066 §3).
    package var serverName: String?
    package var peerCertificate: CertificateInfo?
}

/// One `SSL*` and the buffers on both sides of it. No I/O: the handler feeds it and takes what is to be sent.
@safe final class TLSConnection {
    /// What a step of OpenSSL came to.
    enum Step: Equatable {
        case done
        case needsInput
        /// The peer sent close_notify.
        case closed
        case failed(String)
    }

    private let ssl: OpaquePointer
    private let bio = ByteBufferBIO()
    /// Held, since OpenSSL's callbacks reach it without a reference of their own.
    private let context: TLSContext
    private let isServer: Bool
    /// The peer's certificate has to match records of DNS.
    private var isDANEUsed = false

    /// All bytes that the peer sent.
    private(set) var receivedBytes = 0
    /// The records since the handshake that carried no data of the application: key updates, warnings, attempts to
    /// renegotiate. OpenSSL answers any number of them, and each costs more than it costs the client.
    private(set) var recordsWithoutData = 0
    /// So many are a client's, and one more for each MiB that it sends: keys are renewed after gigabytes.
    private static let freeRecordsWithoutData = 16

    init(context: TLSContext, domain: String?, dane: DANE? = nil) throws(TLSError) {
        self.context = context
        guard let ssl = unsafe SSL_new(context.initialContext(domain: domain).pointer) else {
            throw .library(ErrorQueue.takeFirst() ?? "no SSL")
        }
        unsafe self.ssl = ssl
        switch context.role {
        case .server:
            isServer = true
            unsafe SSL_set_accept_state(ssl)
        case .client(let configuration):
            isServer = false
            unsafe SSL_set_connect_state(ssl)
            // RFC 6066 §3: an address is no name.
            if let domain, !Self.isAddress(domain) { unsafe COpenSSL_SSL_set_tlsext_host_name(ssl, domain) }
            if let name = configuration.verifiedName, unsafe SSL_set1_host(ssl, name) != 1 {
                unsafe SSL_free(ssl)
                throw .library("cannot verify the name '\(name)'")
            }
        }
        if let dane { unsafe isDANEUsed = dane.apply(to: ssl) }
        let raw = try unsafe bio.makeBIO()
        unsafe SSL_set_bio(ssl, raw, raw)
    }

    private static func isAddress(_ text: String) -> Bool {
        guard let octets = unsafe a2i_IPADDRESS(text) else { return false }
        unsafe ASN1_OCTET_STRING_free(octets)
        return true
    }

    deinit {
        unsafe SSL_free(ssl)
    }

    func receive(_ buffer: ByteBuffer) {
        receivedBytes += buffer.readableBytes
        bio.receive(buffer)
    }

    func takeOutbound() -> ByteBuffer? { bio.takeOutbound() }

    func discardInbound() { bio.discardInbound() }

    /// Goes on with the handshake as far as the input allows.
    func handshake() -> Step {
        ERR_clear_error()
        let step = unsafe step(SSL_do_handshake(ssl))
        if step == .done, isServer { watchRecords() }
        return step
    }

    /// Counts from here on what is no data.
    private func watchRecords() {
        unsafe COpenSSL_SSL_set_msg_callback_arg(ssl, Unmanaged.passUnretained(self).toOpaque())
        unsafe SSL_set_msg_callback(ssl) { isWritten, _, kind, bytes, count, _, argument in
            guard isWritten == 0, count > 0, let bytes = unsafe bytes, let argument = unsafe argument else { return }
            // The type of a record is in its header up to TLS 1.2, and within it in TLS 1.3.
            guard kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE else { return }
            guard unsafe bytes.load(as: UInt8.self) != UInt8(SSL3_RT_APPLICATION_DATA) else { return }
            unsafe Unmanaged<TLSConnection>.fromOpaque(argument).takeUnretainedValue().recordWithoutData()
        }
    }

    private func recordWithoutData() {
        recordsWithoutData += 1
        if recordsWithoutData > Self.freeRecordsWithoutData + receivedBytes >> 20 { bio.isStopped = true }
    }

    /// Whether the client sent more of them than anyone needs; nothing more is read from it.
    var isExcessive: Bool { bio.isStopped }

    /// What waits for the rest of its record; OpenSSL has a buffer for a whole one as soon as it has the first byte.
    var heldBytes: Int { bio.unreadBytes + (unsafe SSL_has_pending(ssl) == 1 ? 17_408 : 0) }

    /// Renews the keys of both directions (RFC 8446 §4.6.3), for tests.
    func updateKeys() {
        ERR_clear_error()
        unsafe SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED)
        unsafe SSL_do_handshake(ssl)
    }

    /// Decrypts the next piece into a buffer.
    func read(into buffer: inout ByteBuffer) -> Step {
        guard unsafe bio.unreadBytes > 0 || SSL_has_pending(ssl) == 1 else { return .needsInput }
        ERR_clear_error()
        var count = 0
        let space = max(256, min(bio.unreadBytes + Int(unsafe SSL_pending(ssl)), 16_384))
        let result = unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: space) { bytes in
            count = Int(unsafe SSL_read(ssl, bytes.baseAddress, CInt(clamping: bytes.count)))
            return max(0, count)
        }
        return result > 0 ? .done : step(CInt(clamping: count))
    }

    /// Encrypts all of a buffer.
    func write(_ buffer: ByteBuffer) -> Step {
        var rest = buffer
        while rest.readableBytes > 0 {
            ERR_clear_error()
            var result: CInt = 0
            unsafe rest.readWithUnsafeReadableBytes { bytes in
                result = unsafe SSL_write(ssl, bytes.baseAddress, CInt(clamping: bytes.count))
                return max(0, Int(result))
            }
            if result <= 0 { return step(result) }
        }
        return .done
    }

    /// Sends close_notify, once; nothing before the handshake is done or after a failure.
    func close() {
        ERR_clear_error()
        guard unsafe SSL_is_init_finished(ssl) == 1 else { return }
        unsafe SSL_shutdown(ssl)
        ERR_clear_error()
    }

    var info: TLSInfo {
        let certificate = unsafe SSL_get1_peer_certificate(ssl)
        defer { unsafe X509_free(certificate) }
        return unsafe TLSInfo(
            version: SSL_get_version(ssl).map { unsafe String(cString: $0) } ?? "",
            cipher: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { unsafe String(cString: $0) } ?? "",
            alpn: negotiatedProtocol,
            serverName: SSL_get_servername(ssl, CInt(TLSEXT_NAMETYPE_host_name)).map { unsafe String(cString: $0) },
            peerCertificate: certificate.map { unsafe CertificateInfo(certificate: $0) }
        )
    }

    /// The peer's certificate and what it is worth; nil: it showed none, or nobody is to judge it.
    var peerCertificate: PeerCertificate? {
        guard let certificate = unsafe SSL_get1_peer_certificate(ssl) else { return nil }
        defer { unsafe X509_free(certificate) }
        return unsafe PeerCertificate(
            certificate,
            verification: SSL_get_verify_result(ssl),
            usages: usages(certificate),
            isServer: !isServer,
            dane: isDANEUsed ? matchedRecord : nil
        )
    }

    /// What the certificate and those that its chain leads to may be used for (RFC 5280 §4.2.1.12).
    private func usages(_ certificate: OpaquePointer) -> [UInt32] {
        let own = unsafe X509_get_extended_key_usage(certificate)
        guard let chain = unsafe SSL_get0_verified_chain(ssl) else { return [own] }
        let count = unsafe COpenSSL_certificates_count(chain)
        // The root says by being in the list what it is trusted for.
        let between = (1..<max(1, count - 1)).compactMap { index in
            unsafe COpenSSL_certificates_at(chain, index).map { unsafe X509_get_extended_key_usage($0) }
        }
        return [own] + between
    }

    /// The TLSA record that the certificate matches.
    private var matchedRecord: PeerCertificate.DANEResult {
        var usage: UInt8 = 0
        guard unsafe SSL_get_verify_result(ssl) == X509_V_OK,
            unsafe SSL_get0_dane_tlsa(ssl, &usage, nil, nil, nil, nil) >= 0
        else { return .noMatch }
        return .match(usage: usage)
    }

    /// Keying material of RFC 5705. None in TLS 1.2 without the extended master secret: RFC 9266 §4.2 forbids it there.
    func exporter(label: String, length: Int) -> [UInt8]? {
        guard unsafe SSL_is_init_finished(ssl) == 1, length > 0, length <= 1_024 else { return nil }
        if unsafe SSL_version(ssl) < TLS1_3_VERSION, unsafe COpenSSL_SSL_get_extms_support(ssl) != 1 { return nil }
        var bytes = [UInt8](repeating: 0, count: length)
        let labelBytes = label.utf8.count
        // With an empty context, which in TLS 1.2 differs from none (RFC 5705 §4): RFC 9266 §2 wants the empty one.
        let result = unsafe SSL_export_keying_material(ssl, &bytes, length, label, labelBytes, [], 0, 1)
        return result == 1 ? bytes : nil
    }

    /// The hash of the server's certificate for `tls-server-end-point` (RFC 5929 §4.1).
    func serverEndPoint() -> [UInt8]? {
        if isServer {
            return unsafe SSL_get_certificate(ssl).flatMap { unsafe CertificateInfo.serverEndPoint(of: $0) }
        }
        guard let certificate = unsafe SSL_get1_peer_certificate(ssl) else { return nil }
        defer { unsafe X509_free(certificate) }
        return unsafe CertificateInfo.serverEndPoint(of: certificate)
    }

    private var negotiatedProtocol: String? {
        var name: UnsafePointer<UInt8>?
        var length: CUnsignedInt = 0
        unsafe SSL_get0_alpn_selected(ssl, &name, &length)
        guard let name = unsafe name, length > 0 else { return nil }
        return unsafe String(decoding: UnsafeBufferPointer(start: name, count: Int(length)), as: UTF8.self)
    }

    private func step(_ result: CInt) -> Step {
        if result > 0 { return .done }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
            return .needsInput
        case SSL_ERROR_ZERO_RETURN:
            return .closed
        default:
            return .failed(ErrorQueue.takeFirst() ?? "connection closed")
        }
    }
}
