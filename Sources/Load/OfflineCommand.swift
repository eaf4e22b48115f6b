// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import NIOCore

struct OfflineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offline",
        abstract:
            "Stores messages for accounts that are away, then lets them come; reports stored and drained per second.",
        discussion: """
            When is a message stored? With --stored-command, when the server's own store says so: a shell command \
            that prints the number of stored messages again and again, a line each. Without it, when the server \
            answered a request that followed the last message, which proves less. With --stream-management it must \
            have acknowledged all of them as well.
            """
    )
    @OptionGroup var options: LoadOptions
    @Option(help: "Clients that write; the first accounts.") var senders = 10
    @Option(help: "Accounts that are away; the next ones.") var receivers = 100
    @Option(help: "Messages for each.") var messages = 100
    @Option(help: "Bytes of a body.") var bodyBytes = 100
    @Option(help: "Prints how many messages are stored, again and again.") var storedCommand: String?
    @Option(help: "Seconds that storing, and draining, may take.") var timeout = 300

    func validate() throws {
        guard senders > 0, receivers > 0, messages > 0 else {
            throw ValidationError("--senders, --receivers and --messages are above zero")
        }
    }

    private var total: Int { receivers * messages }

    func run() async throws {
        let generator = try await Generator(options)
        let counter = storedCommand == nil ? nil : StoreCounter()
        if let storedCommand { try counter?.start(storedCommand) }
        defer { counter?.stop() }
        // What an earlier run left behind would be counted again.
        try await counter?.wait(seconds: 30) { $0 == 0 }
        // The senders stay to the end: their leaving is not to be measured.
        var (report, senders) = try await store(generator, counter)
        report = try await drain(generator, counter, report)
        try report.write()
        try await senders.close()
    }

    private func store(
        _ generator: Generator,
        _ counter: StoreCounter?
    ) async throws -> (LoadReport, Generator.Pool) {
        let phase = try await generator.make { [options, senders, receivers, messages, bodyBytes] in
            let accounts = (senders + 1)..<(senders + 1 + receivers)
            return StorePhase(receivers: accounts, messages: messages, bodyBytes: bodyBytes, options: options)
        }
        let row = ClientPool.Row(count: senders, plan: options.plan)
        let pool = try await generator.logIn(row) { phase.value }.pool
        let accounting = Accounting(options.process)
        let started = ContinuousClock.now
        try await generator.onLoop { phase.value.send() }
        if let counter {
            let total = total
            try await counter.wait(seconds: timeout) { $0 >= total }
        } else {
            try await wait(generator, since: started, "no answer after the last message") { [senders] in
                phase.value.answers == senders
            }
        }
        if options.streamManagement {
            try await wait(generator, since: started, "not all messages are acknowledged") {
                phase.value.isAcknowledged
            }
        }
        let seconds = (ContinuousClock.now - started).inSeconds
        var report = LoadReport(mode: "offline", unit: "message", clients: senders + receivers, seconds: seconds)
        accounting.finish(&report, units: total)
        report.units = total
        report.unitsPerSecond = Double(total) / seconds
        report.storedBy = (counter == nil ? "answer" : "count") + (options.streamManagement ? ", acknowledgement" : "")
        report.errors = try await generator.onLoop { phase.value.errors }
        try await pool.complete(&report, options)
        return (report, pool)
    }

    private func wait(
        _ generator: Generator,
        since started: ContinuousClock.Instant,
        _ failure: String,
        until isOver: @escaping @Sendable () -> Bool
    ) async throws {
        while try await !generator.onLoop(isOver) {
            guard (ContinuousClock.now - started).inSeconds < Double(timeout) else {
                throw ClientPool.Failure(description: failure)
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func drain(
        _ generator: Generator,
        _ counter: StoreCounter?,
        _ stored: LoadReport
    ) async throws -> LoadReport {
        let phase = try await generator.make { [messages, domain = options.domain] in
            DrainPhase(messages: messages, domain: domain)
        }
        var plan = options.plan
        plan.sendsPresence = false
        let row = ClientPool.Row(first: senders + 1, count: receivers, plan: plan)
        let pool = try await generator.logIn(row) { phase.value }.pool
        let accounting = Accounting(options.process)
        let started = NIODeadline.now()
        try await generator.onLoop { phase.value.ask() }
        // As long as something comes it may take its time.
        while try await generator.onLoop({ phase.value.missing > 0 && .now() - phase.value.lastArrival < .seconds(30) })
        {
            try await Task.sleep(for: .milliseconds(5))
        }
        let (counts, missing) = try await generator.onLoop { (phase.value.counts, phase.value.missing) }
        let seconds = Double((try await generator.onLoop { phase.value.lastArrival } - started).nanoseconds) / 1e9
        var report = stored
        var drain = LoadReport.Drain(seconds: seconds, messagesPerSecond: Double(counts.delivered) / seconds)
        drain.processes = accounting.figures(units: counts.delivered)
        if let counter, missing == 0 {
            try await counter.wait(seconds: timeout) { $0 == 0 }
            drain.secondsUntilEmpty = Double((NIODeadline.now() - started).nanoseconds) / 1e9
        }
        report.drain = drain
        (report.lost, report.doubled, report.reordered) = (missing, counts.doubled, counts.reordered)
        report.errors = (report.errors ?? 0) + counts.errors
        try await pool.complete(&report, options)
        try await pool.close()
        return report
    }
}
