// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import TLS
import XML

/// Logs a number of clients in, a window at a time, and keeps them; what follows is the business of its `phase`.
///
/// All state is confined to the generator's one event loop.
final class LoadRun: LoadClientOwner {
    /// What a mode does once all clients are there.
    protocol Phase: AnyObject {
        func begin(_ clients: [LoadClientHandler])
        func client(_ client: LoadClientHandler, received element: StreamElement)
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let options: LoadOptions
    private let count: Int
    private let eventLoop: any EventLoop
    private let tls: TLSContext
    private let phase: (any Phase)?
    private let allReady: EventLoopPromise<TimeAmount>
    private var clients: [LoadClientHandler] = []
    private var readyCount = 0
    private var started = NIODeadline.now()
    /// Set when the measuring is over: what breaks then is no failure.
    private var isOver = false

    private init(options: LoadOptions, count: Int, eventLoop: any EventLoop, phase: (any Phase)?) throws {
        self.options = options
        self.count = count
        self.eventLoop = eventLoop
        self.phase = phase
        tls = try TLSContext(client: .init(alpn: options.directTLS ? ["xmpp-client"] : []))
        allReady = eventLoop.makePromise()
    }

    /// Logs `count` clients in on `eventLoop`; returns the run and the time that all logins took together.
    static func start(
        _ options: LoadOptions,
        count: Int,
        on eventLoop: any EventLoop,
        phase: @escaping @Sendable () -> (any Phase)? = { nil }
    ) async throws -> (run: NIOLoopBound<LoadRun>, time: TimeAmount) {
        try await eventLoop.flatSubmit {
            do {
                let run = try LoadRun(options: options, count: count, eventLoop: eventLoop, phase: phase())
                let bound = NIOLoopBound(run, eventLoop: eventLoop)
                return run.logIn().map { (run: bound, time: $0) }
            } catch {
                return eventLoop.makeFailedFuture(error)
            }
        }.get()
    }

    private func logIn() -> EventLoopFuture<TimeAmount> {
        started = .now()
        for _ in 0..<min(options.loginWindow, count) { connectNext() }
        return allReady.futureResult
    }

    func end() {
        isOver = true
        for client in clients { client.close() }
    }

    func clientReady(_ client: LoadClientHandler) {
        readyCount += 1
        if clients.count < count {
            connectNext()
        } else if readyCount == count {
            allReady.succeed(.now() - started)
            phase?.begin(clients)
        }
    }

    func clientFailed(_ client: LoadClientHandler, reason: String) {
        guard !isOver else { return }
        allReady.fail(Failure(description: "client \(client.number): \(reason)"))
    }

    func client(_ client: LoadClientHandler, received element: StreamElement) {
        phase?.client(client, received: element)
    }

    private func connectNext() {
        let number = clients.count + 1
        let login = LoginStateMachine(
            account: .init(
                user: "\(options.prefix)\(number)",
                domain: options.domain,
                password: options.password,
                mechanism: options.mechanism
            ),
            isEncrypted: options.directTLS
        )
        let client = LoadClientHandler(number: number, owner: self, tls: tls, login: login, domain: options.domain)
        clients.append(client)
        let bound = NIOLoopBound((client, tls, self), eventLoop: eventLoop)
        let (isDirect, domain) = (options.directTLS, options.domain)
        // One source address has 28,000 ports: spread over loopback.
        let source = "127.0.\(number / 10_000).1"
        let bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (client, tls, _) = bound.value
                    if isDirect {
                        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: tls, domain: domain))
                    }
                    try channel.pipeline.syncOperations.addHandler(client)
                }
            }
        let address = try? SocketAddress(ipAddress: source, port: 0)
        let connected = (address.map { bootstrap.bind(to: $0) } ?? bootstrap)
            .connect(host: options.host, port: options.port)
        connected.whenFailure { error in
            let (client, _, run) = bound.value
            run.clientFailed(client, reason: "\(error)")
        }
    }
}
