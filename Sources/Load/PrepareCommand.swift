// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

struct PrepareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Makes accounts by in-band registration (XEP-0077); what is there already stays."
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Number of accounts.") var clients = 1_000

    func run() async throws {
        let generator = try await Generator(options)
        var plan = options.plan
        (plan.registers, plan.fetchesRoster, plan.sendsPresence, plan.streamManagement) = (true, false, false, false)
        let (pool, seconds) = try await generator.logIn(ClientPool.Row(count: clients, plan: plan, stays: false))
        try await pool.close()
        var report = LoadReport(mode: "prepare", unit: "account", clients: clients, seconds: seconds)
        report.units = clients
        report.unitsPerSecond = Double(clients) / seconds
        try report.write()
    }
}
