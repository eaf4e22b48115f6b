// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl s2s`: the links to other servers.
struct S2SCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "s2s",
        abstract: "Shows, closes and tests the links to other servers.",
        subcommands: [List.self, Show.self, Close.self, Test.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists the links.")
        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await Report.running {
                let answers = try await S2SCommand.askAll(common, "s2s-list")
                let columns = [
                    "domain", "local", "direction", "state", "transport", "tls", "authentication", "days_left",
                    "queued", "instance", "last_error",
                ]
                Report(json: common.json).table(answers.rows.flatMap { $0 }, columns: columns, typed: S2SCommand.typed)
                try answers.requireAll()
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows all that is known of the links to a domain.")
        @OptionGroup var common: CommonOptions
        @Argument(help: "The other server's domain.") var domain: String

        func run() async throws {
            try await Report.running {
                let answers = try await S2SCommand.askAll(common, "s2s-list", about: domain)
                let rows = answers.rows.flatMap { $0 }
                let report = Report(json: common.json)
                if common.json {
                    report.table(rows, columns: [], typed: S2SCommand.typed)
                } else {
                    print(rows.isEmpty ? "there is no link to \(domain)" : S2SCommand.text(rows))
                }
                try answers.requireAll()
            }
        }
    }

    struct Close: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Closes the links to a domain; what waits for it is tried again at once."
        )
        @OptionGroup var common: CommonOptions
        @Argument(help: "The other server's domain.") var domain: String

        func run() async throws {
            try await Report.running {
                let answers = try await S2SCommand.askAll(common, "s2s-close", about: domain)
                let count = answers.rows.joined().joined().reduce(0) { $0 + (Int($1.value) ?? 0) }
                Report(json: common.json).done(
                    "closed \(count) links to \(domain)",
                    [JSONText.Member("domain", .text(domain)), JSONText.Member("closed", .integer(count))]
                )
                try answers.requireAll()
            }
        }
    }

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Links to a domain step by step, and says in plain words what is wrong."
        )
        @OptionGroup var common: CommonOptions
        @Option(help: "Which of our domains; the main one if it is not said.") var from: String?
        @Argument(help: "The other server's domain.") var domain: String

        func run() async throws {
            try await Report.running {
                let loaded = try common.load()
                let local = from ?? loaded.configuration.mainDomain
                let domain = domain
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    let instance = try await client.federation().first ?? ""
                    // What was done until then is told: that takes a moment of the time that we wait.
                    let seconds = String(max(1, common.timeout - 2))
                    let arguments = [
                        AdminField("domain", domain), AdminField("from", local), AdminField("seconds", seconds),
                    ]
                    return try await client.ask(instance, "s2s-test", arguments)
                }
                let steps = rows.compactMap { $0.first?.value }
                if common.json {
                    Report(json: true).table(rows, columns: [], typed: S2SCommand.typed)
                } else {
                    print(steps.map { Report.cell($0) }.joined(separator: "\n"))
                }
                // The last one says how it ended.
                if steps.last?.hasPrefix("good") != true { throw ArgumentParser.ExitCode(1) }
            }
        }
    }

    /// Asks all S2S instances, and says of each row whose it is.
    private static func askAll(
        _ common: CommonOptions,
        _ command: String,
        about domain: String? = nil
    ) async throws -> AdminClient.Answers {
        let loaded = try common.load()
        let arguments = domain.map { [AdminField("domain", $0)] } ?? []
        return try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
            try await client.askAll(try await client.federation()) { instance in
                let name = InstanceName(routerName: instance)?.description ?? instance
                return try await client.ask(instance, command, arguments).map { $0 + [AdminField("instance", name)] }
            }
        }
    }

    /// `domain: example.net`, a line for each field, an empty line between links.
    private static func text(_ rows: [[AdminField]]) -> String {
        rows.map { row in
            row.map { "\($0.name): \(Report.cell($0.value))" }.joined(separator: "\n")
        }.joined(separator: "\n\n")
    }

    static func typed(_ name: String, _ value: String) -> JSONText.Value {
        switch name {
        case "queued", "queued_bytes", "uptime", "days_left": Int(value).map { .integer($0) } ?? .text(value)
        case "stream_management": .boolean(value == "true")
        default: .text(value)
        }
    }
}
