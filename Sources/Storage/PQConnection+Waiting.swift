// SPDX-License-Identifier: Apache-2.0

import CPQ
import Glibc
import NIOCore

/// Connecting for those who may wait: migrations and probes, each on a thread of its own.
extension PQConnection {
    /// Why there is no connection, in libpq's words.
    struct Unreachable: Error {
        let reason: String
    }

    /// Connects, and waits for it as long as the configuration allows.
    static func connect(_ configuration: DatabaseConfiguration) throws(Unreachable) -> PQConnection {
        guard let connection = PQConnection(configuration) else { throw Unreachable(reason: "out of memory") }
        let deadline = NIODeadline.now() + configuration.connectTimeout
        // libpq: before the first PQconnectPoll, act as if it had asked to write.
        var progress = Progress.waitingToWrite
        while NIODeadline.now() < deadline {
            guard connection.socket >= 0 else { throw Unreachable(reason: connection.errorMessage) }
            var descriptor = pollfd(
                fd: connection.socket,
                events: Int16(progress == .waitingToWrite ? POLLOUT : POLLIN),
                revents: 0
            )
            _ = unsafe poll(&descriptor, 1, 100)
            guard descriptor.revents != 0 else { continue }
            progress = connection.continueConnecting()
            switch progress {
            case .connected: return connection
            case .failed(let reason): throw Unreachable(reason: reason)
            case .waitingToRead, .waitingToWrite: break
            }
        }
        throw Unreachable(reason: "no answer within the time to connect")
    }

    /// Whether libpq can read a connection string. What it says about one that it cannot may repeat a password.
    static func isConnectionString(_ text: String) -> Bool {
        guard let options = unsafe PQconninfoParse(text, nil) else { return false }
        unsafe PQconninfoFree(options)
        return true
    }
}
