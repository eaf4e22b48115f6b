// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import NIOCore
import NIOPosix

/// A load generator for any XMPP server; the accounts must be there (`jackdawctl user add`).
@main
struct Load: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jackdaw-load",
        abstract: "Puts an XMPP server under load and prints a line of JSON.",
        subcommands: [Login.self, Idle.self, Chat.self]
    )

    /// A generator has one event loop, like the processes that it loads.
    static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    struct Login: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Logs clients in; reports logins per second.")
        @OptionGroup var options: LoadOptions
        @Option(help: "Number of clients.") var clients = 200

        func run() async throws {
            let accounting = Accounting(options.process)
            let (run, time) = try await LoadRun.start(options, count: clients, on: Load.group.next())
            let seconds = Double(time.nanoseconds) / 1e9
            var report = LoadReport(mode: "login", clients: clients, seconds: seconds)
            report.unitsPerSecond = Double(clients) / seconds
            accounting.finish(&report, units: clients, sessions: nil)
            try report.write()
            try await run.eventLoop.submit { run.value.end() }.get()
        }
    }

    struct Idle: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Logs clients in and leaves them idle; reports the memory for each session."
        )
        @OptionGroup var options: LoadOptions
        @Option(help: "Number of clients.") var clients = 2_000
        @Option(help: "Seconds of idleness before the memory is read.") var seconds = 10

        func run() async throws {
            let accounting = Accounting(options.process)
            let (run, _) = try await LoadRun.start(options, count: clients, on: Load.group.next())
            try await Task.sleep(for: .seconds(seconds))
            var report = LoadReport(mode: "idle", clients: clients, seconds: Double(seconds))
            accounting.finish(&report, units: 0, sessions: clients)
            try report.write()
            try await run.eventLoop.submit { run.value.end() }.get()
        }
    }

    struct Chat: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Pairs of clients chat as fast as they can; reports messages per second."
        )
        @OptionGroup var options: LoadOptions
        @Option(help: "Pairs of clients.") var pairs = 100
        @Option(help: "Messages of a pair that are under way at a time.") var window = 10
        @Option(help: "Bytes of a body.") var bodyBytes = 100
        @Option(help: "Seconds before the measurement.") var warmUp = 3
        @Option(help: "Seconds of measurement.") var seconds = 10

        func run() async throws {
            let eventLoop = Load.group.next()
            let phase = try await eventLoop.submit { [options, window, bodyBytes] in
                NIOLoopBound(
                    ChatPhase(window: window, bodyBytes: bodyBytes, options: options),
                    eventLoop: eventLoop
                )
            }.get()
            let (run, _) = try await LoadRun.start(options, count: 2 * pairs, on: eventLoop) { phase.value }
            try await Task.sleep(for: .seconds(warmUp))
            try await measure(phase, eventLoop)
            try await eventLoop.submit { run.value.end() }.get()
        }

        private func measure(_ phase: NIOLoopBound<ChatPhase>, _ eventLoop: any EventLoop) async throws {
            try await eventLoop.submit { phase.value.resetCounts() }.get()
            let accounting = Accounting(options.process)
            let started = ContinuousClock.now
            try await Task.sleep(for: .seconds(seconds))
            let counts = try await eventLoop.submit { phase.value.counts }.get()
            let elapsed = (ContinuousClock.now - started) / .seconds(1)
            var report = LoadReport(mode: "chat", clients: 2 * pairs, seconds: elapsed)
            report.unitsPerSecond = Double(counts.delivered) / elapsed
            report.delivered = counts.delivered
            report.latency = LoadReport.percentiles(counts.latencies)
            accounting.finish(&report, units: counts.delivered, sessions: nil)
            try await eventLoop.submit { phase.value.stopSending() }.get()
            for _ in 0..<50 where try await eventLoop.submit({ phase.value.underWay }).get() > 0 {
                try await Task.sleep(for: .milliseconds(100))
            }
            let (final, lost) = try await eventLoop.submit { (phase.value.counts, phase.value.underWay) }.get()
            (report.lost, report.doubled, report.reordered) = (lost, final.doubled, final.reordered)
            report.errors = final.errors
            try report.write()
        }
    }
}
