// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Throwaway certificates: self-signed, valid until 2126, the keys as public as this file.
package enum TestCertificates {
    /// SAN: one.example, *.one.example and the XMPP address one.example; signed with ECDSA and SHA-256.
    package static let one = """
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
    package static let oneKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD9zPc40AbLlEzIvt
        J+NeS5WhpAV6gG6TMHI/rcDJIJmhRANCAATlxvT7VXkE7GODYmwEXS0sRM9mLbR9
        YMnFtgLlGfNfaq9Qt+aPrLRmXJsh1BQaVP6RJd9YJhh7caTMrEftiFQv
        -----END PRIVATE KEY-----
        """
    /// SAN: two.example; signed with ECDSA and SHA-384.
    package static let two = """
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
    package static let twoKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSuw9jgV2QCF3BVx2
        4pmH4oZ6Mh+RhZ2uNg0q/xODPVuhRANCAAT/zqWzgpTsl3Ff4HpnpRVN6/R86BaB
        hcQwbXRlykoxKs02WTLrzjLhFMRCU+/eJ/tl/IGMRclFw1kjFpsX2/jB
        -----END PRIVATE KEY-----
        """
    /// SAN: xn--mller-kva.example, the name of müller.example in the DNS; signed with ECDSA and SHA-256.
    package static let mueller = """
        -----BEGIN CERTIFICATE-----
        MIIBuDCCAV+gAwIBAgIUMRwdRbrZokgJia/ye7pWsw2ekHQwCgYIKoZIzj0EAwIw
        IDEeMBwGA1UEAwwVeG4tLW1sbGVyLWt2YS5leGFtcGxlMCAXDTI2MTEyNTIyMzY0
        OFoYDzIxMjYxMTAxMjIzNjQ4WjAgMR4wHAYDVQQDDBV4bi0tbWxsZXIta3ZhLmV4
        YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASt2bN1RlxMi4FzUGYzXDkS
        k36EaZVS/TRr1pBmHNQy+QqSpRXKYi5/2fzATv6DBdFB9ED7CHq+B8z/E7aQDU9j
        o3UwczAdBgNVHQ4EFgQUO5u7NmxgeDnK1YXljshtw05uBQQwHwYDVR0jBBgwFoAU
        O5u7NmxgeDnK1YXljshtw05uBQQwDwYDVR0TAQH/BAUwAwEB/zAgBgNVHREEGTAX
        ghV4bi0tbWxsZXIta3ZhLmV4YW1wbGUwCgYIKoZIzj0EAwIDRwAwRAIgYOZGG9Y+
        gXmnTxat9pXZ3ade6JFm/SXo1LJP//Izz3YCICR+r+d4s7y7IBLYa2njBfv4YHPJ
        v1t2FbTE0OnZjbyY
        -----END CERTIFICATE-----
        """
    package static let muellerKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9QMMyrnRsAd5sNUD
        M48fqsGQ9wFylIieWMVLvYhkEcuhRANCAASt2bN1RlxMi4FzUGYzXDkSk36EaZVS
        /TRr1pBmHNQy+QqSpRXKYi5/2fzATv6DBdFB9ED7CHq+B8z/E7aQDU9j
        -----END PRIVATE KEY-----
        """

    /// A new directory with all of them: `one.example.pem`, `one.example.key`, and so on.
    package static func directory() throws -> String {
        try directory([
            "one.example.pem": one, "one.example.key": oneKey, "two.example.pem": two, "two.example.key": twoKey,
            "xn--mller-kva.example.pem": mueller, "xn--mller-kva.example.key": muellerKey,
        ])
    }

    /// Writes texts as files into a new directory and returns its path.
    package static func directory(_ files: [String: String]) throws -> String {
        let path = try TemporaryDirectory.make("certificates")
        for (name, text) in files { try write(text, to: "\(path)/\(name)") }
        return path
    }

    /// Writes a file that only its owner may read.
    package static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { close(descriptor) }
        let bytes = Array((text + "\n").utf8)
        guard descriptor >= 0, unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw ChildProcess.Failure(description: "write \(path): error \(errno)")
        }
    }
}
