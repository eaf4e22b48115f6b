// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import NIOCore

struct LoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Logs clients in: stream, TLS, SASL, resource, roster, presence; reports logins per second.",
        discussion: """
            With --warm-up all clients log in and out once before, so that the generator has derived their keys (a \
            client keeps them too) and the server is warm.
            """
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Number of clients.") var clients = 1_000
    @Flag(help: "A round of logins before the one that is measured.") var warmUp = false

    func run() async throws {
        let generator = try await Generator(options)
        let row = ClientPool.Row(count: clients, plan: options.plan)
        if warmUp {
            var before = row
            // Sessions that the server has not ended yet are none of the measured ones' business.
            before.plan.resource = "before"
            try await generator.logIn(before).pool.close()
            try await Task.sleep(for: .seconds(2))
        }
        let accounting = Accounting(options.process)
        let (pool, seconds) = try await generator.logIn(row)
        var report = LoadReport(mode: "login", unit: "login", clients: clients, seconds: seconds)
        report.units = clients
        report.unitsPerSecond = Double(clients) / seconds
        accounting.finish(&report, units: clients)
        report.latency = try await generator.onLoop { pool.bound.value.loginLatency.percentiles }
        try await pool.complete(&report, options)
        try report.write()
        try await pool.close()
    }
}

struct IdleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle",
        abstract: "Logs clients in and leaves them idle; reports the memory for each session."
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Number of clients.") var clients = 2_000
    @Option(help: "Seconds of idleness before the memory is read.") var seconds = 10

    func run() async throws {
        let generator = try await Generator(options)
        let accounting = Accounting(options.process)
        let (pool, _) = try await generator.logIn(ClientPool.Row(count: clients, plan: options.plan))
        try await Task.sleep(for: .seconds(seconds))
        var report = LoadReport(mode: "idle", unit: "session", clients: clients, seconds: Double(seconds))
        accounting.finish(&report, units: clients, sessions: clients)
        report.units = clients
        try await pool.complete(&report, options)
        try report.write()
        try await pool.close()
    }
}
