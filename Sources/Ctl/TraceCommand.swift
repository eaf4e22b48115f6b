// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl trace …`: where something is.
struct TraceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Finds a message that no client has acknowledged.",
        subcommands: [Message.self]
    )

    struct Message: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Where a message is, who holds it, and since when.",
            discussion: """
                The id is the one in <stanza-id/> and in the logs ('stanza'). A message that a client has acknowledged is \
                nowhere any more; nor is one that was answered with an error.
                """
        )
        @OptionGroup var common: CommonOptions
        @Argument(help: "The stable id of the message.") var id: String

        func run() async throws {
            try await Report.running {
                let loaded = try common.load()
                let domains = loaded.configuration.domains.map(\.name)
                let answers = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await Self.places(of: id, domains, client)
                }
                let rows = Self.joined(answers.rows)
                guard !rows.isEmpty || common.json || !answers.refusals.isEmpty else {
                    throw Refusal(refused: "nobody holds '\(id)': it was acknowledged or refused, or never came")
                }
                let columns = ["place", "user", "session", "instance", "manager", "stored", "since"]
                Report(json: common.json).table(rows, columns: columns, typed: Self.typed)
                try answers.requireAll()
            }
        }

        /// All session managers are asked for what they hold, and for the rows that any of them finds: while the database
        /// is away, or one of them gives no answer, the rest is told.
        private static func places(
            of id: String,
            _ domains: [String],
            _ client: AdminClient
        ) async throws -> AdminClient.Answers {
            let ask = { @Sendable (manager: String, place: String) in
                let arguments = [AdminField("id", id), AdminField("place", place)]
                return try await client.ask(manager, "message-trace", arguments)
            }
            async let stored = client.askAll(serving: domains) { try await ask($0, "spool") }
            var answers = try await client.askAll(serving: domains) { try await ask($0, "memory") }
            do {
                answers.rows += try await stored.rows
            } catch let refusal as Refusal {
                answers.refusals.append(refusal)
            }
            return answers
        }

        /// The places of which all session managers tell. Each of them tells of the rows in the database.
        static func joined(_ lists: [[[AdminField]]]) -> [[AdminField]] {
            let isRow = { (row: [AdminField]) in row.contains { $0.name == "place" && $0.value == "spool" } }
            var rows: [[AdminField]] = []
            var stored: [[AdminField]] = []
            for row in lists.joined() {
                if !isRow(row) { rows.append(row) } else if !stored.contains(row) { stored.append(row) }
            }
            return rows + stored
        }

        private static func typed(_ name: String, _ value: String) -> JSONText.Value {
            name == "stored" ? .boolean(value == "true") : .text(value)
        }
    }
}
