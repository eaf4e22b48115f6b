// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Why a secret could not be read.
package enum SecretFileError: Error, Equatable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    /// Others than the owner may read or write it.
    case tooOpen(path: String, mode: String)
    case empty(path: String)
    case tooLong(path: String)
    case notText(path: String)

    package var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path): \(reason)"
        case .tooOpen(let path, let mode):
            "\(path): its mode \(mode) lets others read the secret; chmod 600 it"
        case .empty(let path): "\(path): empty, a secret is expected"
        case .tooLong(let path): "\(path): longer than \(SmallFile.secretBytes) bytes, no secret"
        case .notText(let path): "\(path): not UTF-8 text"
        }
    }
}

extension Secret {
    /// Reads the first line of a file that only its owner may read (mode 0600 or stricter).
    package static func load(file path: String) throws(SecretFileError) -> Secret {
        let file: SmallFile
        do throws(SmallFile.Failure) {
            file = try SmallFile.read(path, limit: SmallFile.secretBytes)
        } catch {
            switch error {
            case .failed(let reason): throw .unreadable(path: path, reason: reason)
            case .tooLong: throw .tooLong(path: path)
            }
        }
        guard file.mode & 0o077 == 0 else {
            throw .tooOpen(path: path, mode: "0" + String(file.mode & 0o777, radix: 8))
        }
        let line = file.bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else { throw .empty(path: path) }
        guard let text = String(validating: line, as: UTF8.self) else { throw .notText(path: path) }
        return Secret(text)
    }
}

/// A file read whole, at the start of a process, with a bound.
package struct SmallFile {
    package enum Failure: Error, Equatable {
        case failed(String)
        case tooLong
    }

    static let secretBytes = 4_096

    package let bytes: [UInt8]
    let mode: mode_t

    package static func read(_ path: String, limit: Int) throws(Failure) -> SmallFile {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .failed(systemError()) }
        defer { close(descriptor) }
        var info = stat()
        guard unsafe fstat(descriptor, &info) == 0 else { throw .failed(systemError()) }
        guard info.st_mode & S_IFMT == S_IFREG else { throw .failed("not a file") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .failed(systemError()) }
            if count == 0 { return SmallFile(bytes: bytes, mode: info.st_mode) }
            bytes += chunk.prefix(count)
            guard bytes.count <= limit else { throw .tooLong }
        }
    }

    private static func systemError() -> String {
        let code = errno
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
