// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import NIOPosix

/// Ports of 127.0.0.1 that nobody uses at the moment.
enum FreePort {
    /// The first of `run` free ports in a row, below the range that the system gives to outgoing connections.
    static func next(run: Int = 1) throws -> Int {
        for _ in 0..<200 {
            let first = Int.random(in: 10_000..<32_000)
            if (first..<first + run).allSatisfy(isFree) { return first }
        }
        throw RunningSuite.Failure(description: "no free port")
    }

    private static func isFree(_ port: Int) -> Bool {
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        guard let channel = try? bootstrap.bind(host: "127.0.0.1", port: port).wait() else { return false }
        try? channel.close().wait()
        return true
    }
}

/// One HTTP request, read until the server closes.
enum HTTPProbe {
    static func get(port: Int, path: String) async throws -> (status: Int, body: String) {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(
                ByteBuffer(string: "GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            )
            var text = ""
            for try await buffer in inbound { text += String(buffer: buffer) }
            let status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            let body = text.range(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? ""
            return (status, body)
        }
    }
}
