// SPDX-License-Identifier: Apache-2.0

package import Config
package import TLS

extension JackdawConfiguration {
    /// The certificates and rules of the TLS listeners; `alpn` is what direct TLS insists on (XEP-0368).
    package func tlsServer(alpn: [String]) -> TLSContext.ServerConfiguration {
        var identities: [String: TLSContext.Identity] = [:]
        for domain in domains {
            let files = certificateFiles(for: domain)
            let identity = TLSContext.Identity(certificateFile: files.certificate, keyFile: files.key)
            // A stream's `to` and a client's SNI (RFC 6066 §3) spell the same domain in two ways.
            identities[domain.name] = identity
            identities[domain.dnsName] = identity
        }
        return TLSContext.ServerConfiguration(
            identities: identities,
            defaultDomain: mainDomain,
            alpn: alpn,
            minimumVersion: tls.minimumVersion == .tls13 ? .tls13 : .tls12,
            ciphers: tls.ciphers
        )
    }
}
