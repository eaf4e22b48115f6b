// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Glibc

/// The certificates and rules under which TLS connections are made.
///
/// A server context holds one `SSL_CTX` per domain and picks it by SNI (RFC 6066 §3); `reload` replaces them all at
/// once, while connections that exist keep those that they began with. Confined to one event loop.
package final class TLSContext {
    /// The files of one domain: a PEM chain, leaf first, and its key.
    package struct Identity: Sendable, Hashable {
        package var certificateFile: String
        package var keyFile: String

        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// The versions we speak.
    package enum Version: Sendable {
        case tls12
        case tls13

        var number: CInt {
            switch self {
            case .tls12: TLS1_2_VERSION
            case .tls13: TLS1_3_VERSION
            }
        }
    }

    /// The rules of a server.
    package struct ServerConfiguration: Sendable {
        /// Files by hosted domain.
        package var identities: [String: Identity]
        /// The domain whose certificate is shown to a client that names none of ours.
        package var defaultDomain: String
        /// The protocols accepted when a client offers any (RFC 7301); empty: ALPN is ignored.
        package var alpn: [String]
        package var minimumVersion: Version
        /// OpenSSL's list for TLS 1.2; TLS 1.3 has good ones only.
        package var ciphers: String
        /// With it the peer is asked for its certificate, which `TLSHandler.peerCertificate` judges; a bad one, or none,
        /// does not end the handshake.
        package var peerAuthorities: TrustStore?

        package init(
            identities: [String: Identity],
            defaultDomain: String,
            alpn: [String] = [],
            minimumVersion: Version = .tls12,
            ciphers: String = "ECDHE+AESGCM:ECDHE+CHACHA20"
        ) {
            self.identities = identities
            self.defaultDomain = defaultDomain
            self.alpn = alpn
            self.minimumVersion = minimumVersion
            self.ciphers = ciphers
        }
    }

    /// The rules of a client.
    package struct ClientConfiguration: Sendable {
        /// The protocols to offer; empty: none.
        package var alpn: [String]
        package var maximumVersion: Version
        /// A PEM file of trusted roots; none: any certificate is accepted and the caller judges it.
        package var trustFile: String?
        /// The name or the IP address that a trusted certificate must be for; none: any name is accepted.
        package var verifiedName: String?
        /// What the client shows where it is asked.
        package var identity: Identity?
        /// With it `TLSHandler.peerCertificate` judges the server's certificate; a bad one does not end the handshake.
        package var peerAuthorities: TrustStore?

        package init(
            alpn: [String] = [],
            maximumVersion: Version = .tls13,
            trustFile: String? = nil,
            verifiedName: String? = nil,
            identity: Identity? = nil,
            peerAuthorities: TrustStore? = nil
        ) {
            self.identity = identity
            self.peerAuthorities = peerAuthorities
            self.alpn = alpn
            self.maximumVersion = maximumVersion
            self.trustFile = trustFile
            self.verifiedName = verifiedName
        }
    }

    enum Role {
        case server(ServerConfiguration)
        case client(ClientConfiguration)
    }

    let role: Role
    private var table: [String: SecureContext] = [:]
    private var fallback: SecureContext
    /// The files as they were when the table was made.
    private var stamps: [String: FileStamp] = [:]

    /// Makes a server context; all certificates are read now.
    package init(server configuration: ServerConfiguration) throws(TLSError) {
        role = .server(configuration)
        stamps = Self.stamps(of: configuration)
        table = try Self.load(configuration)
        guard let first = table[configuration.defaultDomain] ?? table.first?.value else { throw .noCertificate }
        fallback = first
        for context in table.values { context.setServerCallbacks(owner: self) }
    }

    /// Makes a client context.
    package init(client configuration: ClientConfiguration) throws(TLSError) {
        role = .client(configuration)
        fallback = try SecureContext(client: configuration)
    }

    /// Reads all files again. On failure everything stays as it was.
    package func reload() throws(TLSError) {
        guard case .server(let configuration) = role else { return }
        let newStamps = Self.stamps(of: configuration)
        // Also after a failure: a bad file is judged once, not at every look.
        defer { stamps = newStamps }
        let newTable = try Self.load(configuration)
        guard let first = newTable[configuration.defaultDomain] ?? newTable.first?.value else { throw .noCertificate }
        for context in newTable.values { context.setServerCallbacks(owner: self) }
        table = newTable
        fallback = first
    }

    /// Reads all files again when one of them changed; true when new ones are in use.
    package func reloadIfChanged() throws(TLSError) -> Bool {
        guard case .server(let configuration) = role, Self.stamps(of: configuration) != stamps else { return false }
        try reload()
        return true
    }

    /// The certificate that is shown for a domain.
    package func certificate(for domain: String) -> CertificateInfo? {
        table[domain.lowercased()]?.certificate
    }

    /// The context of a name: the domain itself, else a certificate that is for it.
    func context(for name: String?) -> SecureContext? {
        guard let name = name?.lowercased() else { return nil }
        return table[name] ?? table.values.first { $0.certificate?.isFor(name) == true }
    }

    /// The context that a new connection starts with; SNI may change it.
    func initialContext(domain: String?) -> SecureContext {
        context(for: domain) ?? fallback
    }

    private static func load(_ configuration: ServerConfiguration) throws(TLSError) -> [String: SecureContext] {
        var shared: [Identity: SecureContext] = [:]
        var table: [String: SecureContext] = [:]
        for (domain, identity) in configuration.identities {
            if let context = shared[identity] {
                table[domain.lowercased()] = context
                continue
            }
            let context = try SecureContext(identity: identity, configuration: configuration)
            shared[identity] = context
            table[domain.lowercased()] = context
        }
        return table
    }

    private static func stamps(of configuration: ServerConfiguration) -> [String: FileStamp] {
        var result: [String: FileStamp] = [:]
        for identity in configuration.identities.values {
            result[identity.certificateFile] = FileStamp(path: identity.certificateFile)
            result[identity.keyFile] = FileStamp(path: identity.keyFile)
        }
        return result
    }
}

/// What tells that a file was replaced.
private struct FileStamp: Equatable {
    private var inode: UInt = 0
    private var size = 0
    private var seconds = 0
    private var nanoseconds = 0

    init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        inode = UInt(status.st_ino)
        size = Int(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
