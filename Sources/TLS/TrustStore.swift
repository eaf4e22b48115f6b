// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Glibc

/// The authorities whose signature under a peer's certificate is trusted: read once, and shared by all contexts, since the
/// system's are more than a hundred.
///
/// Sendable: OpenSSL counts references to an `X509_STORE` atomically and locks it where it changes, and nothing else is in
/// it.
@safe package final class TrustStore: @unchecked Sendable {
    private let store: OpaquePointer

    /// Reads a PEM file, or a directory of hashed files; nil: those of the system.
    package init(path: String?) throws(TLSError) {
        guard let store = unsafe X509_STORE_new() else { throw .library(ErrorQueue.takeFirst() ?? "no X509_STORE") }
        var isKept = false
        defer { if !isKept { unsafe X509_STORE_free(store) } }
        if let path {
            var status = stat()
            let isDirectory = unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            let result =
                unsafe isDirectory
                ? X509_STORE_load_locations(store, nil, path) : X509_STORE_load_locations(store, path, nil)
            guard result == 1 else {
                throw .certificate(file: path, reason: ErrorQueue.takeFirst() ?? "holds no trusted certificate")
            }
        } else {
            unsafe X509_STORE_set_default_paths(store)
        }
        ErrorQueue.clear()
        unsafe self.store = store
        isKept = true
    }

    deinit {
        unsafe X509_STORE_free(store)
    }

    /// Has a context's peers judged by these authorities.
    func apply(to context: OpaquePointer) {
        unsafe SSL_CTX_set1_cert_store(context, store)
    }
}
