// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// One `SSL_CTX`: the certificate of one domain, or the rules of a client.
@safe final class SecureContext {
    let pointer: OpaquePointer
    /// The leaf of a server's chain.
    let certificate: CertificateInfo?

    /// A server's context with the certificate of one domain.
    init(identity: TLSContext.Identity, configuration: TLSContext.ServerConfiguration) throws(TLSError) {
        let context = try unsafe Self.make(TLS_server_method())
        var isKept = false
        defer { if !isKept { unsafe SSL_CTX_free(context) } }
        unsafe COpenSSL_SSL_CTX_set_min_proto_version(context, configuration.minimumVersion.number)
        guard unsafe SSL_CTX_set_cipher_list(context, configuration.ciphers) == 1 else {
            ErrorQueue.clear()
            throw .library("no cipher in '\(configuration.ciphers)'")
        }
        // Tickets are stateless; a cache here would only grow.
        unsafe COpenSSL_SSL_CTX_set_session_cache_off(context)
        unsafe SSL_CTX_set_num_tickets(context, 1)
        let name = Array("jackdaw".utf8)
        unsafe SSL_CTX_set_session_id_context(context, name, CUnsignedInt(name.count))
        try unsafe Self.show(identity, in: context)
        certificate = unsafe SSL_CTX_get0_certificate(context).map { unsafe CertificateInfo(certificate: $0) }
        if let authorities = configuration.peerAuthorities {
            unsafe Self.judgePeers(of: context, by: authorities)
            // A ticket would bring back the judgement of an earlier day.
            unsafe SSL_CTX_set_num_tickets(context, 0)
            unsafe SSL_CTX_set_options(context, withoutTickets)
        }
        unsafe pointer = context
        isKept = true
    }

    /// Asks for the peer's certificate, and goes on whatever it is worth: the verdict is read off the connection.
    private static func judgePeers(of context: OpaquePointer, by authorities: TrustStore) {
        unsafe authorities.apply(to: context)
        // What a certificate may be used for is judged by our own rules: a server's does for both directions.
        unsafe SSL_CTX_set_purpose(context, X509_PURPOSE_ANY)
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER) { _, _ in 1 }
        unsafe SSL_CTX_dane_enable(context)
    }

    private static func show(_ identity: TLSContext.Identity, in context: OpaquePointer) throws(TLSError) {
        let (file, key) = (identity.certificateFile, identity.keyFile)
        guard unsafe SSL_CTX_use_certificate_chain_file(context, file) == 1 else {
            throw .certificate(file: file, reason: ErrorQueue.takeFirst() ?? "is no PEM certificate chain")
        }
        guard unsafe SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 else {
            throw .certificate(file: key, reason: ErrorQueue.takeFirst() ?? "is no PEM private key")
        }
        guard unsafe SSL_CTX_check_private_key(context) == 1 else {
            throw .certificate(file: key, reason: "does not belong to the certificate \(file)")
        }
    }

    /// A client's context.
    init(client configuration: TLSContext.ClientConfiguration) throws(TLSError) {
        let context = try unsafe Self.make(TLS_client_method())
        var isKept = false
        defer { if !isKept { unsafe SSL_CTX_free(context) } }
        unsafe COpenSSL_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)
        unsafe COpenSSL_SSL_CTX_set_max_proto_version(context, configuration.maximumVersion.number)
        if let file = configuration.trustFile {
            guard unsafe SSL_CTX_load_verify_locations(context, file, nil) == 1 else {
                throw .certificate(file: file, reason: ErrorQueue.takeFirst() ?? "holds no trusted certificate")
            }
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        }
        if let identity = configuration.identity { try unsafe Self.show(identity, in: context) }
        if let authorities = configuration.peerAuthorities { unsafe Self.judgePeers(of: context, by: authorities) }
        let offered = Self.encode(configuration.alpn)
        if !offered.isEmpty { unsafe SSL_CTX_set_alpn_protos(context, offered, CUnsignedInt(offered.count)) }
        certificate = nil
        unsafe pointer = context
        isKept = true
    }

    deinit {
        unsafe SSL_CTX_free(pointer)
    }

    /// Lets the `TLSContext` choose by SNI and ALPN. It outlives every handshake: each `TLSConnection` holds it.
    func setServerCallbacks(owner: TLSContext) {
        let argument = unsafe Unmanaged.passUnretained(owner).toOpaque()
        unsafe COpenSSL_SSL_CTX_set_server_name_callback(pointer, chooseContext, argument)
        unsafe SSL_CTX_set_alpn_select_cb(pointer, chooseProtocol, argument)
    }

    private static func make(_ method: OpaquePointer?) throws(TLSError) -> OpaquePointer {
        guard let context = unsafe SSL_CTX_new(method) else {
            throw .library(ErrorQueue.takeFirst() ?? "no SSL_CTX")
        }
        // An idle connection keeps no record buffers: 34 KB each.
        unsafe COpenSSL_SSL_CTX_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY))
        unsafe SSL_CTX_set_options(context, secureOptions)
        return unsafe context
    }

    /// The wire form of a protocol list (RFC 7301 §3.1).
    private static func encode(_ names: [String]) -> [UInt8] {
        names.flatMap { name in [UInt8(clamping: name.utf8.count)] + name.utf8.prefix(255) }
    }
}

/// RFC 6120 §13.8 and RFC 9325: no renegotiation, no compression.
private let secureOptions = COpenSSL_secure_options()

/// TLS 1.2 without tickets; in TLS 1.3 their number counts.
private let withoutTickets = COpenSSL_no_tickets()

/// SNI: the certificate of the domain that the client names; an unknown name leaves the one in place.
private func chooseContext(
    _ ssl: OpaquePointer?,
    _ alert: UnsafeMutablePointer<CInt>?,
    _ argument: UnsafeMutableRawPointer?
) -> CInt {
    guard let ssl = unsafe ssl, let argument = unsafe argument,
        let name = unsafe SSL_get_servername(ssl, CInt(TLSEXT_NAMETYPE_host_name))
    else { return SSL_TLSEXT_ERR_NOACK }
    let owner = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
    guard let context = unsafe owner.context(for: String(cString: name)) else { return SSL_TLSEXT_ERR_NOACK }
    unsafe SSL_set_SSL_CTX(ssl, context.pointer)
    return SSL_TLSEXT_ERR_OK
}

/// ALPN: the first of the client's protocols that we know; if it offers only others, `no_application_protocol`.
private func chooseProtocol(
    _ ssl: OpaquePointer?,
    _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenLength: UnsafeMutablePointer<UInt8>?,
    _ offered: UnsafePointer<UInt8>?,
    _ offeredLength: CUnsignedInt,
    _ argument: UnsafeMutableRawPointer?
) -> CInt {
    guard let argument = unsafe argument, let offered = unsafe offered, let chosen = unsafe chosen,
        let chosenLength = unsafe chosenLength
    else { return SSL_TLSEXT_ERR_NOACK }
    let owner = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
    guard case .server(let configuration) = owner.role, !configuration.alpn.isEmpty else {
        return SSL_TLSEXT_ERR_NOACK
    }
    let list = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredLength))
    var index = 0
    while index < list.count {
        let length = Int(unsafe list[index])
        guard length > 0, index + length < list.count else { break }
        let name = unsafe String(decoding: list[(index + 1)...(index + length)], as: UTF8.self)
        if configuration.alpn.contains(name) {
            unsafe chosen.pointee = offered + index + 1
            unsafe chosenLength.pointee = UInt8(length)
            return SSL_TLSEXT_ERR_OK
        }
        index += length + 1
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
