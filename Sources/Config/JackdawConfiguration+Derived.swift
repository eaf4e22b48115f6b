// SPDX-License-Identifier: Apache-2.0

import XMPPCore

extension HostedDomain {
    /// The name that the DNS, certificates and TLS have for it (A-labels).
    package var dnsName: String { BareJID.dnsName(ofPreparedDomain: name) }
}

extension JackdawConfiguration {
    /// Whether a domain is our own processes'.
    package static func isInternal(_ domain: String) -> Bool {
        domain == internalDomain || domain.hasSuffix("." + internalDomain)
    }

    /// The main domain.
    package var mainDomain: String { domains.first?.name ?? "localhost" }

    /// The certificate chain and key of a domain.
    package func certificateFiles(for domain: HostedDomain) -> (certificate: String, key: String) {
        (
            certificate: domain.certificate ?? "\(paths.certificates)/\(domain.dnsName).pem",
            key: domain.key ?? "\(paths.certificates)/\(domain.dnsName).key"
        )
    }

    /// Whether in-band registration is open at a domain.
    package func allowsRegistration(at domain: String) -> Bool {
        guard let hosted = domains.first(where: { $0.name == domain }) else { return false }
        return hosted.registration ?? registration.enabled
    }

    /// The bytes that SM sends to a client before the client has to acknowledge: so many, and one stanza more, are
    /// well below what C2S holds for it.
    package var sessionWindow: Int { c2s.limits.outputBytes / 4 }

    /// About the largest stanza that SM sends; the rest of what the router takes is for the wrapper and for escapes in
    /// the stanza's start tag.
    package var largestStanza: Int { router.limits.internalStanzaBytes / 4 * 3 }

    /// The bytes of a list that is kept for a user and sent as one stanza: the roster, the block list.
    package var listBytes: Int { largestStanza / 8 * 7 }

    /// Whether the suite runs its own PostgreSQL cluster.
    package var hasPrivateDatabase: Bool { database.url == nil }

    /// libpq's connection string for the SM.
    package var smDatabase: Secret { database.url ?? privateCluster(role: "jackdaw_sm") }

    /// libpq's connection string for C2S, whose role reads credentials only.
    package var credentialsDatabase: Secret { database.credentialsURL ?? privateCluster(role: "jackdaw_c2s") }

    /// The private cluster's socket is in `paths.run`.
    private func privateCluster(role: String) -> Secret {
        var host = ""
        for character in paths.run.unicodeScalars {
            if character == "'" || character == "\\" { host.unicodeScalars.append("\\") }
            host.unicodeScalars.append(character)
        }
        return Secret("host='\(host)' dbname=jackdaw user=\(role)")
    }

    /// Where the routers of this host listen for components: router-1 at `router.listen`, each further one a port higher.
    package var localRouters: [ListenAddress] {
        (0..<supervisor.router).map { ListenAddress(host: router.listen.host, port: router.listen.port + $0) }
    }

    /// Where a router listens: `router.listen`, or `router.tls_listen`, and each further one a port higher; any free port
    /// (0) is one for each.
    package func address(_ first: ListenAddress, of router: InstanceName) -> ListenAddress {
        guard first.port != 0 else { return first }
        return ListenAddress(host: first.host, port: first.port + router.number - 1)
    }

    /// The chain and key that routers show to other hosts.
    package var routerCertificateFiles: (certificate: String, key: String) {
        if let certificate = router.tlsCertificate, let key = router.tlsKey { return (certificate, key) }
        return certificateFiles(for: domains.first ?? HostedDomain())
    }

    /// Whether there is more than one router.
    package var hasSeveralRouters: Bool { supervisor.router + router.remote.count > 1 }

    /// The file with the secret that a kind of process proves to the routers; a router without others has none.
    package func secretFile(for kind: ComponentKind) -> String? {
        switch kind {
        case .router: hasSeveralRouters ? secrets.router : nil
        case .c2s: secrets.c2s
        case .sm: secrets.sm
        case .s2s: secrets.s2s
        case .ctl: secrets.ctl
        }
    }

    /// The loopback HTTP port of an instance; 0: any free one.
    package func httpPort(of instance: InstanceName) -> Int {
        let base =
            switch instance.kind {
            case .router: http.routerPort
            case .c2s: http.c2sPort
            case .sm: http.smPort
            case .s2s: http.s2sPort
            case .ctl: 0
            }
        return base == 0 ? 0 : base + instance.number - 1
    }
}
