// SPDX-License-Identifier: Apache-2.0

import Glibc
import TLS
import Testing

/// A throwaway certificate for one.example, self-signed, valid until 2126, its key as public as this file.
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

    static func identity() throws -> TLSContext.Identity {
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
