// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// What can go wrong with certificates and TLS connections.
package enum TLSError: Error, Equatable, CustomStringConvertible {
    /// OpenSSL would not make an object: memory or a build without an algorithm.
    case library(String)
    /// A certificate or key file cannot be used; the text says which and why.
    case certificate(file: String, reason: String)
    /// The configuration names no certificate at all.
    case noCertificate
    /// The handshake failed; the peer was sent the alert that TLS prescribes.
    case handshakeFailed(String)
    /// The established connection carried something that is not TLS, or a bad record.
    case recordFailed(String)
    /// The connection went away before what was written could be encrypted.
    case closed

    package var description: String {
        switch self {
        case .library(let reason): "OpenSSL: \(reason)"
        case .certificate(let file, let reason): "\(file): \(reason)"
        case .noCertificate: "no certificate is configured"
        case .handshakeFailed(let reason): "TLS handshake failed: \(reason)"
        case .recordFailed(let reason): "TLS failed: \(reason)"
        case .closed: "the TLS connection is closed"
        }
    }
}

/// The thread's queue of OpenSSL errors.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    /// Empties the queue and returns its first entry: the cause; the later ones are what followed from it.
    static func takeFirst() -> String? {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let text = unsafe ERR_reason_error_string(code) else { return nil }
        return unsafe String(cString: text)
    }
}
