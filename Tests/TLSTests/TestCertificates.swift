// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import TLS

/// Throwaway certificates: self-signed, valid until 2126, the keys as public as this file.
enum TestCertificates {
    /// SAN: one.example, *.one.example and the XMPP address one.example; signed with ECDSA and SHA-256.
    static let one = """
        -----BEGIN CERTIFICATE-----
        MIIBxzCCAW2gAwIBAgIUGn0rzP+kOJPbKJv89w7hDPr4JMAwCgYIKoZIzj0EAwIw
        FjEUMBIGA1UEAwwLb25lLmV4YW1wbGUwIBcNMjYxMTIzMDgzNjAzWhgPMjEyNjEw
        MzAwODM2MDNaMBYxFDASBgNVBAMMC29uZS5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAE5cb0+1V5BOxjg2JsBF0tLETPZi20fWDJxbYC5RnzX2qvULfm
        j6y0ZlybIdQUGlT+kSXfWCYYe3GkzKxH7YhUL6OBljCBkzAdBgNVHQ4EFgQUvkCG
        qmA7qIzo6lrTf7B1gsnlqpkwHwYDVR0jBBgwFoAUvkCGqmA7qIzo6lrTf7B1gsnl
        qpkwDwYDVR0TAQH/BAUwAwEB/zBABgNVHREEOTA3ggtvbmUuZXhhbXBsZYINKi5v
        bmUuZXhhbXBsZaAZBggrBgEFBQcIBaANDAtvbmUuZXhhbXBsZTAKBggqhkjOPQQD
        AgNIADBFAiBw99ziOkgRVAbmxzRAC8+DxEvRoDW7tO1OpBybQ4fJxAIhAKbmvAk1
        7qIlHMqRikwqUfFUaA0mxzvcInWasBO65FKC
        -----END CERTIFICATE-----
        """
    static let oneKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD9zPc40AbLlEzIvt
        J+NeS5WhpAV6gG6TMHI/rcDJIJmhRANCAATlxvT7VXkE7GODYmwEXS0sRM9mLbR9
        YMnFtgLlGfNfaq9Qt+aPrLRmXJsh1BQaVP6RJd9YJhh7caTMrEftiFQv
        -----END PRIVATE KEY-----
        """
    /// SAN: two.example; signed with ECDSA and SHA-384.
    static let two = """
        -----BEGIN CERTIFICATE-----
        MIIBmjCCAUGgAwIBAgIUC6bIjeZcyH0Yqk1L81fNe0qLSdcwCgYIKoZIzj0EAwMw
        FjEUMBIGA1UEAwwLdHdvLmV4YW1wbGUwIBcNMjYxMTIzMDgzNjAzWhgPMjEyNjEw
        MzAwODM2MDNaMBYxFDASBgNVBAMMC3R3by5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAE/86ls4KU7JdxX+B6Z6UVTev0fOgWgYXEMG10ZcpKMSrNNlky
        684y4RTEQlPv3if7ZfyBjEXJRcNZIxabF9v4waNrMGkwHQYDVR0OBBYEFBfMzJBe
        frKbBTwQ1DyAv8g/daPwMB8GA1UdIwQYMBaAFBfMzJBefrKbBTwQ1DyAv8g/daPw
        MA8GA1UdEwEB/wQFMAMBAf8wFgYDVR0RBA8wDYILdHdvLmV4YW1wbGUwCgYIKoZI
        zj0EAwMDRwAwRAIgZgtK6H7rB/ggybd+fjbseCzVOoyERoiWPUtz7NZJZHkCIDwH
        OWTdoVS29Z9r/fqpvEbUmnCl2a5IjjQYar17t3NT
        -----END CERTIFICATE-----
        """
    static let twoKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSuw9jgV2QCF3BVx2
        4pmH4oZ6Mh+RhZ2uNg0q/xODPVuhRANCAAT/zqWzgpTsl3Ff4HpnpRVN6/R86BaB
        hcQwbXRlykoxKs02WTLrzjLhFMRCU+/eJ/tl/IGMRclFw1kjFpsX2/jB
        -----END PRIVATE KEY-----
        """

    /// Writes texts as files into a new directory and returns its path.
    static func directory(_ files: [String: String]) throws -> String {
        let path = "/tmp/jackdaw-tls-\(UInt64.random(in: .min ... .max))"
        let result = unsafe mkdir(path, 0o700)
        try #require(result == 0)
        for (name, text) in files { try write(text, to: "\(path)/\(name)") }
        return path
    }

    static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array((text + "\n").utf8)
        let count = unsafe Glibc.write(descriptor, bytes, bytes.count)
        #expect(count == bytes.count)
    }

    /// A directory with both certificates, and the identities of their domains.
    static func identities() throws -> (path: String, identities: [String: TLSContext.Identity]) {
        let path = try directory(["one.pem": one, "one.key": oneKey, "two.pem": two, "two.key": twoKey])
        return (
            path,
            [
                "one.example": .init(certificateFile: "\(path)/one.pem", keyFile: "\(path)/one.key"),
                "two.example": .init(certificateFile: "\(path)/two.pem", keyFile: "\(path)/two.key"),
            ]
        )
    }
}
