// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import TLS

/// Logs a row of accounts in, a window at a time, and keeps them; what follows is the business of its `phase`.
///
/// All state is confined to the generator's one event loop.
final class ClientPool: LoadClientOwner {
    /// What a mode does once all clients are there.
    protocol Phase: AnyObject {
        func begin(_ clients: [LoadClient])
        func client(_ client: LoadClient, received stanza: ReceivedStanza)
        /// All that could be read at once was read: the time to write.
        func clientFinishedReading(_ client: LoadClient)
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Which accounts, and what they do.
    struct Row: Sendable {
        var first = 1
        var count: Int
        var plan: LoginStateMachine.Plan
        /// False: a client leaves as soon as it is ready.
        var stays = true
    }

    private let options: LoadOptions
    private let row: Row
    private let eventLoop: any EventLoop
    private let tls: TLSContext?
    private let passwords: SaltedPasswords
    private let phase: (any Phase)?
    private let allReady: EventLoopPromise<TimeAmount>
    private var clients: [LoadClient] = []
    private var channels: [any Channel] = []
    private(set) var readyCount = 0
    private var started = NIODeadline.now()
    /// How long each login took, from the connection to the presence.
    private(set) var loginLatency = LatencyHistogram()
    /// Connections that broke after they were ready.
    private(set) var broken = 0
    private(set) var firstFault: String?
    private(set) var tlsVersions: Set<String> = []
    /// Set when the measuring is over: what breaks then is no fault.
    private var isOver = false

    init(
        _ options: LoadOptions,
        _ row: Row,
        on eventLoop: any EventLoop,
        passwords: SaltedPasswords,
        phase: (any Phase)? = nil
    ) throws {
        self.options = options
        self.row = row
        self.eventLoop = eventLoop
        self.passwords = passwords
        self.phase = phase
        tls = options.noTLS ? nil : try TLSContext(client: .init(alpn: options.directTLS ? ["xmpp-client"] : []))
        allReady = eventLoop.makePromise()
    }

    /// Logs all in; the result is the time that it took together.
    func logIn() -> EventLoopFuture<TimeAmount> {
        started = .now()
        for _ in 0..<min(options.loginWindow, row.count) { connectNext() }
        return allReady.futureResult
    }

    /// Logs all out; the result comes when every connection is closed.
    func close() -> EventLoopFuture<Void> {
        isOver = true
        for client in clients { client.close() }
        return .andAllComplete(channels.map(\.closeFuture), on: eventLoop)
    }

    func clientReady(_ client: LoadClient) {
        readyCount += 1
        loginLatency.record(client.loginTime.nanoseconds)
        tlsVersions.insert(client.tlsVersion ?? "none")
        if !row.stays { client.close() }
        if clients.count < row.count {
            connectNext()
        } else if readyCount == row.count {
            allReady.succeed(.now() - started)
            phase?.begin(clients)
        }
    }

    func clientEnded(_ client: LoadClient, reason: String) {
        guard !isOver else { return }
        if firstFault == nil { firstFault = "client \(client.number): \(reason)" }
        if readyCount == row.count {
            broken += 1
        } else {
            isOver = true
            allReady.fail(Failure(description: firstFault ?? reason))
        }
    }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        phase?.client(client, received: stanza)
    }

    func clientFinishedReading(_ client: LoadClient) {
        phase?.clientFinishedReading(client)
    }

    private func connectNext() {
        let number = row.first + clients.count
        let login = LoginStateMachine(
            account: .init(
                user: options.user(number),
                domain: options.domain,
                password: options.password,
                mechanism: options.mechanism
            ),
            plan: row.plan,
            isEncrypted: options.directTLS
        )
        let client = LoadClient(
            number: number,
            owner: self,
            tls: tls,
            login: login,
            domain: options.domain,
            passwords: passwords
        )
        clients.append(client)
        let bound = NIOLoopBound((client: client, pool: self), eventLoop: eventLoop)
        let connected = bootstrap(client, number)
            .connect(host: options.host, port: options.port)
        connected.whenComplete { result in
            switch result {
            case .success(let channel): bound.value.pool.channels.append(channel)
            case .failure(let error): bound.value.pool.clientEnded(bound.value.client, reason: "\(error)")
            }
        }
        eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(options.loginTimeout))) { [weak self, weak client] in
            guard let self, let client, client.loginTime == .zero else { return }
            self.clientEnded(client, reason: "no login within \(self.options.loginTimeout) s")
        }
    }

    private func bootstrap(_ client: LoadClient, _ number: Int) -> ClientBootstrap {
        let directTLS = options.directTLS ? tls : nil
        let bootstrap = ClientBootstrap(for: client, directTLS: directTLS, domain: options.domain, on: eventLoop)
        // One source address has 28,000 ports: many clients spread over the loopback.
        guard options.host.hasPrefix("127."), number >= 10_000,
            let source = try? SocketAddress(ipAddress: "127.0.\(min(number / 10_000, 250)).1", port: 0)
        else { return bootstrap }
        return bootstrap.bind(to: source)
    }
}
