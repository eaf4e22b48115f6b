// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import NIOPosix
import Testing

@testable import Daemon

@Suite(.serialized) struct HTTPEndpointTests {
    /// Collects what a connection says until it closes.
    final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let promise: EventLoopPromise<String>
        private var received = ByteBuffer()

        init(_ promise: EventLoopPromise<String>) {
            self.promise = promise
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received.writeImmutableBuffer(unwrapInboundIn(data))
        }

        func channelInactive(context: ChannelHandlerContext) {
            promise.succeed(String(buffer: received))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    struct Server {
        let endpoint: HTTPEndpoint
        let metrics = MetricsRegistry()
        let readiness = Readiness()
        let group = MultiThreadedEventLoopGroup.singleton

        init(_ change: (inout JackdawConfiguration.HTTP) -> Void = { _ in }) async throws {
            var settings = JackdawConfiguration.HTTP()
            change(&settings)
            let status = ProcessStatus(instance: InstanceName(kind: .c2s), readiness: readiness)
            endpoint = try await HTTPEndpoint.start(
                settings,
                port: 0,
                on: group.next(),
                metrics: metrics,
                readiness: readiness,
                status: status
            )
        }

        func connect() async throws -> (channel: any Channel, answer: EventLoopFuture<String>) {
            let promise = group.next().makePromise(of: String.self)
            do {
                let channel = try await ClientBootstrap(group: group).channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Collector(promise))
                    }
                }.connect(host: "127.0.0.1", port: endpoint.port).get()
                return (channel: channel, answer: promise.futureResult)
            } catch {
                promise.fail(error)
                throw error
            }
        }

        /// Sends pieces, each by itself, and gives all that comes until the end.
        func exchange(_ pieces: [String]) async throws -> String {
            let (channel, answer) = try await connect()
            for piece in pieces {
                // The server may have closed by then, which is what some tests look for.
                try? await channel.writeAndFlush(ByteBuffer(string: piece))
            }
            return try await answer.get()
        }

        func get(_ path: String) async throws -> String {
            try await exchange(["GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n"])
        }
    }

    @Test func livenessAnswersWhileNothingIsReady() async throws {
        let server = try await Server()
        server.readiness.require("database", reason: "away")
        let live = try await server.get("/live")
        #expect(live.hasPrefix("HTTP/1.1 200 OK\r\n") && live.hasSuffix("\r\n\r\nlive\n"))
        let ready = try await server.get("/ready?verbose")
        #expect(ready.hasPrefix("HTTP/1.1 503 ") && ready.hasSuffix("\r\n\r\nnot ready\ndatabase: away\n"))
        server.readiness.met("database")
        let after = try await server.get("/ready")
        #expect(after.hasPrefix("HTTP/1.1 200 ") && after.hasSuffix("\r\n\r\nready\ndatabase: ok\n"))
        await server.endpoint.stop()
    }

    @Test func metricsAndStatusAreServed() async throws {
        let server = try await Server()
        server.metrics.counter("jackdaw_test", help: "Test.").increment()
        let metrics = try await server.get("/metrics")
        #expect(metrics.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"))
        let body = try #require(metrics.split(separator: "\r\n\r\n", maxSplits: 1).last)
        #expect(try OpenMetricsParser.parse(String(body)).map(\.name) == ["jackdaw_test"])
        let status = try await server.get("/status")
        #expect(status.contains("Content-Type: application/json\r\n") && status.contains("{\"process\":\"c2s\","))
        await server.endpoint.stop()
    }

    @Test(arguments: [
        ("POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "),
        ("GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "),
        ("GET /live/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "), ("\0\u{1}garbage\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400 "),
    ])
    func otherRequestsAreRefused(_ request: String, _ start: String) async throws {
        let server = try await Server()
        let answer = try await server.exchange([request])
        // NIO's parser may end the connection without a word for what is not HTTP; an answer must be the right one.
        #expect(answer.hasPrefix(start) || (answer.isEmpty && start.contains("400")), "\(answer)")
        await server.endpoint.stop()
    }

    @Test func headHasNoBody() async throws {
        let server = try await Server()
        let answer = try await server.exchange(["HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n"])
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\n"))
        #expect(answer.lowercased().contains("content-length: 5\r\n"))
        await server.endpoint.stop()
    }

    @Test func requestMayComeByteByByte() async throws {
        let server = try await Server()
        let answer = try await server.exchange(
            "GET /live HTTP/1.1\r\nHost: x\r\n\r\n".unicodeScalars.map { String($0) }
        )
        #expect(answer.hasPrefix("HTTP/1.1 200 "))
        await server.endpoint.stop()
    }

    @Test func requestOfMoreThanEightKibibytesEndsTheConnection() async throws {
        let server = try await Server()
        let header = "X: " + String(repeating: "x", count: 4_000) + "\r\n"
        let answer = try await server.exchange(["GET /live HTTP/1.1\r\n", header, header, header, "\r\n"])
        #expect(answer == "")
        await server.endpoint.stop()
    }

    @Test func silentConnectionEndsByItself() async throws {
        let server = try await Server { $0.idleTimeout = .milliseconds(100) }
        let (_, answer) = try await server.connect()
        #expect(try await answer.get() == "")
        await server.endpoint.stop()
    }

    @Test func connectionBeyondTheLimitIsClosedAndTheOthersStay() async throws {
        let server = try await Server { $0.connections = 1 }
        let (first, answer) = try await server.connect()
        // The listener accepts in order: the first is counted before the second is looked at.
        let refused = try? await server.exchange(["GET /live HTTP/1.1\r\nHost: x\r\n\r\n"])
        #expect(refused ?? "" == "")
        try await first.writeAndFlush(ByteBuffer(string: "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"))
        #expect(try await answer.get().hasPrefix("HTTP/1.1 200 "))
        await server.endpoint.stop()
    }
}
