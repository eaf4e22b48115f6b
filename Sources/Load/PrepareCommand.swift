// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import NIOCore

struct PrepareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Makes accounts by in-band registration (XEP-0077), and subscriptions; what is there already stays."
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Number of accounts.") var clients = 1_000
    @Option(help: "Contacts that each of the first clients has, subscribed both ways; an even number.") var contacts = 0
    @Option(help: "How many of the clients have contacts.") var contactClients = 200
    @Option(help: "Seconds that the subscriptions may take.") var timeout = 600

    func validate() throws {
        guard contacts.isMultiple(of: 2), contacts >= 0, contacts == 0 || contacts < min(contactClients, clients) else {
            throw ValidationError("--contacts is even, and below --contact-clients and --clients")
        }
    }

    func run() async throws {
        let generator = try await Generator(options)
        var plan = options.plan
        plan.registers = true
        let (pool, seconds) = try await generator.logIn(ClientPool.Row(count: clients, plan: plan, stays: false))
        try await pool.close()
        var report = LoadReport(mode: "prepare", unit: "account", clients: clients, seconds: seconds)
        report.units = clients
        report.unitsPerSecond = Double(clients) / seconds
        if contacts > 0 { try await subscribe(generator) }
        try report.write()
    }

    private func subscribe(_ generator: Generator) async throws {
        let ring = ContactRing(clients: min(contactClients, clients), contacts: contacts)
        let eventLoop = generator.eventLoop
        let phase = try await generator.make { [options] in ContactPhase(ring, options: options, on: eventLoop) }
        let row = ClientPool.Row(count: ring.clients, plan: options.plan)
        let pool = try await generator.logIn(row) { phase.value }.pool
        try await withProgress {
            "subscriptions to come: \((try? await generator.onLoop { phase.value.missing }) ?? 0)"
        } during: {
            let seconds = timeout
            try await eventLoop.flatSubmit {
                let promise = phase.value.finished
                eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
                    promise.fail(
                        ClientPool.Failure(description: "the subscriptions were not there within \(seconds) s")
                    )
                }
                return promise.futureResult
            }.get()
        }
        try await pool.close()
    }
}
