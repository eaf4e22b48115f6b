// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import NIOCore

struct ChaosCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Clients that count what becomes of each message; scripts/chaos breaks the server meanwhile.",
        discussion: """
            It reads commands from stdin, one a line, and answers each with a line of JSON: go, status, fault, calm, \
            drop N, pause SECONDS, report, quit. Between them it tells of each connection that broke against the \
            client's will.
            """
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Clients, of the accounts PREFIX1 and so on.") var clients = 200
    @Option(help: "How many others each client writes to.") var partners = 2
    @Option(help: "Messages per second of all clients together.") var rate = 2_000.0
    @Option(help: "Bytes of a body.") var bodyBytes = 100
    @Option(help: "Share of the clients that come and go.") var comers = 0.2
    @Option(help: "HOST:PORT, may be repeated: where clients connect to, at random (--host and --port).")
    var server: [String] = []
    @Option(help: "So many of the clients, the last ones, are at --remote-server.") var remote = 0
    @Option(help: "HOST:PORT of the server of the remote clients.") var remoteServer: String?
    @Option(help: "Their domain.") var remoteDomain = "remote.example"
    @Option(help: "Seed of all that is random.") var seed: UInt64 = 1

    func validate() throws {
        guard partners > 0, clients > partners, rate > 0, (0...1).contains(comers) else {
            throw ValidationError("--partners is at least 1, --clients more than that, --rate above 0, --comers 0 to 1")
        }
        guard (server + [remoteServer].compactMap(\.self)).allSatisfy({ Self.server($0) != nil }) else {
            throw ValidationError("--server and --remote-server are HOST:PORT")
        }
        guard (0..<clients).contains(remote), remote == 0 || remoteServer != nil else {
            throw ValidationError("--remote is less than --clients, and calls for --remote-server")
        }
    }

    private static func server(_ text: String) -> ChaosConnector.Server? {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), port > 0,
            port < 65_536
        else { return nil }
        return ChaosConnector.Server(host: String(text[..<colon]), port: port)
    }

    func run() async throws {
        let generator = try await Generator(options)
        let plan = ChaosFleet.Plan(
            clients: clients,
            partners: partners,
            rate: rate,
            comers: comers,
            bodyBytes: bodyBytes,
            home: .init(
                domain: options.domain,
                servers: server.isEmpty
                    ? [.init(host: options.host, port: options.port)] : server.compactMap(Self.server)
            ),
            remote: remoteServer.flatMap(Self.server).map {
                (.init(domain: remoteDomain, servers: [$0]), remote)
            },
            seed: seed
        )
        let clock = ChaosClock()
        let fleet = try await generator.chaosFleet(plan) { disconnect in ChaosLine(disconnect, clock).write() }
        try await generator.onLoop { fleet.value.begin() }
        let control = ChaosControl(fleet: fleet, generator: generator, clock: clock)
        for await line in ChaosControl.lines() {
            guard try await control.obey(line) else { break }
        }
        try await generator.onLoop { fleet.value.quit() }
        // What is written leaves.
        try await Task.sleep(for: .milliseconds(200))
    }
}

extension Generator {
    fileprivate func chaosFleet(
        _ plan: ChaosFleet.Plan,
        disconnected: @escaping @Sendable (ChaosFleet.Disconnect) -> Void
    ) async throws -> NIOLoopBound<ChaosFleet> {
        let (options, eventLoop) = (options, eventLoop)
        let passwords = passwords
        return try await make {
            try ChaosFleet(plan, options, on: eventLoop, passwords: passwords.value, disconnected: disconnected)
        }
    }
}

/// The run's times as those of the world, which logs have.
struct ChaosClock: Sendable {
    private let start = Date()

    func text(_ nanoseconds: Int64) -> String {
        let date = start.addingTimeInterval(Double(nanoseconds) / 1e9)
        let seconds = date.timeIntervalSince1970
        let whole = ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: seconds.rounded(.down)))
        let micros = Int((seconds - seconds.rounded(.down)) * 1e6)
        return whole.dropLast() + "." + String(String(micros + 1_000_000).dropFirst()) + "Z"
    }
}
