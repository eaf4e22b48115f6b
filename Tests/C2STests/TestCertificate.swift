// SPDX-License-Identifier: Apache-2.0

import Glibc
import TLS
import Testing

/// Throwaway certificates for one.example and müller.example, self-signed, valid until 2126, their keys as public as
/// this file.
enum TestCertificate {
    private static let certificate = """
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
    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD9zPc40AbLlEzIvt
        J+NeS5WhpAV6gG6TMHI/rcDJIJmhRANCAATlxvT7VXkE7GODYmwEXS0sRM9mLbR9
        YMnFtgLlGfNfaq9Qt+aPrLRmXJsh1BQaVP6RJd9YJhh7caTMrEftiFQv
        -----END PRIVATE KEY-----

        """

    private static let mueller = """
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
    private static let muellerKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9QMMyrnRsAd5sNUD
        M48fqsGQ9wFylIieWMVLvYhkEcuhRANCAASt2bN1RlxMi4FzUGYzXDkSk36EaZVS
        /TRr1pBmHNQy+QqSpRXKYi5/2fzATv6DBdFB9ED7CHq+B8z/E7aQDU9j
        -----END PRIVATE KEY-----

        """

    /// For one.example.
    static func identity() throws -> TLSContext.Identity {
        try identity(certificate, key)
    }

    /// For müller.example, by its name in the DNS: xn--mller-kva.example.
    static func muellerIdentity() throws -> TLSContext.Identity {
        try identity(mueller, muellerKey)
    }

    private static func identity(_ certificate: String, _ key: String) throws -> TLSContext.Identity {
        let path = "/tmp/jackdaw-c2s-\(UInt64.random(in: .min ... .max))"
        let result = unsafe mkdir(path, 0o700)
        try #require(result == 0)
        try write(certificate, to: "\(path)/one.pem")
        try write(key, to: "\(path)/one.key")
        return TLSContext.Identity(certificateFile: "\(path)/one.pem", keyFile: "\(path)/one.key")
    }

    private static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe Glibc.write(descriptor, bytes, bytes.count)
        #expect(count == bytes.count)
    }
}
