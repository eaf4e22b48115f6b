// SPDX-License-Identifier: Apache-2.0

package import Config
package import NIOCore
import NIOHTTP1
import NIOPosix

/// The loopback HTTP port of a process: `/live`, `/ready`, `/status` and `/metrics`, by GET and HEAD.
///
/// One request for each connection, of 8 KiB at most and without a body; a connection lasts `idle_timeout` at
/// most, and beyond `connections` a new one is closed at once.
package final class HTTPEndpoint: Sendable {
    static let maximumRequestBytes = 8_192

    let metrics: MetricsRegistry
    let readiness: Readiness
    let status: ProcessStatus
    private let channel: any Channel

    /// The port that it listens on.
    package var port: Int { channel.localAddress?.port ?? 0 }

    private init(_ channel: any Channel, _ metrics: MetricsRegistry, _ readiness: Readiness, _ status: ProcessStatus) {
        self.channel = channel
        self.metrics = metrics
        self.readiness = readiness
        self.status = status
    }

    package static func start(
        _ settings: JackdawConfiguration.HTTP,
        port: Int,
        on eventLoop: any EventLoop,
        metrics: MetricsRegistry,
        readiness: Readiness,
        status: ProcessStatus
    ) async throws -> HTTPEndpoint {
        // The listener and its connections share the loop, so a plain count will do.
        let open = NIOLoopBoundBox.makeBoxSendingValue(0, as: Int.self, eventLoop: eventLoop)
        let channel = try await ServerBootstrap(group: eventLoop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    guard open.value < settings.connections else { throw TooManyConnections() }
                    open.value += 1
                    child.closeFuture.whenComplete { _ in open.value -= 1 }
                    let pipeline = child.pipeline.syncOperations
                    try pipeline.addHandler(RequestByteLimit(settings.idleTimeout))
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(HTTPRequestHandler(metrics, readiness, status))
                }
            }
            .bind(host: settings.address, port: port).get()
        return HTTPEndpoint(channel, metrics, readiness, status)
    }

    package func stop() async {
        try? await channel.close()
    }

    private struct TooManyConnections: Error {}
}

/// Ends a connection that sends more than a request needs, or that takes too long.
private final class RequestByteLimit: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let lifetime: TimeAmount
    private var received = 0
    private var deadline: Scheduled<Void>?

    init(_ lifetime: Duration) {
        self.lifetime = TimeAmount(lifetime)
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: lifetime) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received += unwrapInboundIn(data).readableBytes
        guard received <= HTTPEndpoint.maximumRequestBytes else { return context.close(promise: nil) }
        context.fireChannelRead(data)
    }
}

/// Answers the one request of a connection and closes it.
private final class HTTPRequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let metrics: MetricsRegistry
    private let readiness: Readiness
    private let status: ProcessStatus
    private var hasAnswered = false

    init(_ metrics: MetricsRegistry, _ readiness: Readiness, _ status: ProcessStatus) {
        self.metrics = metrics
        self.readiness = readiness
        self.status = status
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasAnswered, case .head(let head) = unwrapInboundIn(data) else { return }
        hasAnswered = true
        let response = HTTPAnswer.to(head, metrics, readiness, status)
        var headers = HTTPHeaders()
        headers.add(name: "Content-Type", value: response.contentType)
        headers.add(name: "Content-Length", value: String(response.body.readableBytes))
        headers.add(name: "Connection", value: "close")
        if response.status == .methodNotAllowed { headers.add(name: "Allow", value: "GET, HEAD") }
        let start = HTTPResponseHead(version: .http1_1, status: response.status, headers: headers)
        context.write(wrapOutboundOut(.head(start)), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(response.body))), promise: nil) }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// What each path answers.
struct HTTPAnswer {
    var status = HTTPResponseStatus.ok
    var contentType = "text/plain; charset=utf-8"
    var body = ByteBuffer()

    static func to(
        _ request: HTTPRequestHead,
        _ metrics: MetricsRegistry,
        _ readiness: Readiness,
        _ status: ProcessStatus
    ) -> HTTPAnswer {
        guard request.method == .GET || request.method == .HEAD else {
            return HTTPAnswer(status: .methodNotAllowed, body: ByteBuffer(string: "GET or HEAD\n"))
        }
        let path = request.uri.prefix { $0 != "?" }
        var answer = HTTPAnswer()
        switch path {
        case "/live": answer.body.writeString("live\n")
        case "/ready": answer.ready(readiness)
        case "/status":
            answer.contentType = "application/json"
            answer.body.writeString(JSONText.encode(status.json) + "\n")
        case "/metrics":
            answer.contentType = OpenMetricsText.contentType
            OpenMetricsText.write(metrics, to: &answer.body)
        default: answer = HTTPAnswer(status: .notFound, body: ByteBuffer(string: "not found\n"))
        }
        return answer
    }

    private mutating func ready(_ readiness: Readiness) {
        let conditions = readiness.conditions
        let isReady = conditions.allSatisfy(\.isMet)
        status = isReady ? .ok : .serviceUnavailable
        body.writeString(isReady ? "ready\n" : "not ready\n")
        for condition in conditions {
            body.writeString("\(condition.name): \(condition.isMet ? "ok" : condition.reason)\n")
        }
    }
}
