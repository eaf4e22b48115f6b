// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import NIOPosix

/// The one event loop of a run, and what its commands do on it.
struct Generator: Sendable {
    let options: LoadOptions
    let eventLoop: any EventLoop
    let passwords: NIOLoopBound<SaltedPasswords>

    init(_ options: LoadOptions) async throws {
        self.options = options
        let eventLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
        self.eventLoop = eventLoop
        passwords = try await eventLoop.submit { NIOLoopBound(SaltedPasswords(), eventLoop: eventLoop) }.get()
    }

    func onLoop<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await eventLoop.submit(body).get()
    }

    /// Something that belongs to the loop.
    func make<Value>(_ body: @escaping @Sendable () throws -> Value) async throws -> NIOLoopBound<Value> {
        let eventLoop = eventLoop
        return try await onLoop { NIOLoopBound(try body(), eventLoop: eventLoop) }
    }

    /// Logs a row of clients in; `seconds` is what all of them took together.
    func logIn(
        _ row: ClientPool.Row,
        phase: @escaping @Sendable () -> (any ClientPool.Phase)? = { nil }
    ) async throws -> (pool: Pool, seconds: Double) {
        let (options, eventLoop, passwords) = (options, eventLoop, passwords)
        let pool = try await make {
            try ClientPool(options, row, on: eventLoop, passwords: passwords.value, phase: phase())
        }
        let time = try await withProgress {
            "logins: \((try? await onLoop { pool.value.readyCount }) ?? 0) of \(row.count)"
        } during: {
            try await eventLoop.flatSubmit { pool.value.logIn() }.get()
        }
        return (Pool(bound: pool, eventLoop: eventLoop), Double(time.nanoseconds) / 1e9)
    }

    /// Clients that are logged in.
    struct Pool: Sendable {
        let bound: NIOLoopBound<ClientPool>
        let eventLoop: any EventLoop

        func close() async throws {
            let bound = bound
            try await eventLoop.flatSubmit { bound.value.close() }.get()
        }

        /// Says in the report what broke and how the clients were connected.
        func complete(_ report: inout LoadReport, _ options: LoadOptions) async throws {
            let bound = bound
            let (broken, fault, tls) = try await eventLoop.submit {
                (bound.value.broken, bound.value.firstFault, bound.value.tlsVersions)
            }.get()
            report.broken = (report.broken ?? 0) + broken
            report.tls = tls.sorted().joined(separator: ", ")
            report.mechanism = options.mechanism.rawValue
            report.streamManagement = options.streamManagement
            if let fault { complain("\(broken) connections broke; the first: \(fault)") }
        }
    }
}

func complain(_ text: String) {
    FileHandle.standardError.write(Data("jackdaw-load: \(text)\n".utf8))
}

/// Shows a line on the terminal, written anew each second; where stderr is no terminal there is none.
func withProgress<Value: Sendable>(
    _ text: @escaping @Sendable () async -> String,
    during body: () async throws -> Value
) async rethrows -> Value {
    guard isatty(2) == 1 else { return try await body() }
    let task = Task {
        while !Task.isCancelled {
            let line = await text()
            FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
            try? await Task.sleep(for: .seconds(1))
        }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    }
    defer { task.cancel() }
    return try await body()
}

extension Duration {
    var inSeconds: Double { self / .seconds(1) }
}
