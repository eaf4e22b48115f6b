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
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    var rows: [[AdminField]] = []
                    for manager in try await client.instances(serving: domains) {
                        rows += try await client.ask(manager, "message-trace", [AdminField("id", id)])
                    }
                    return rows
                }
                guard !rows.isEmpty || common.json else {
                    throw Refusal(refused: "nobody holds '\(id)': it was acknowledged or refused, or never came")
                }
                let columns = ["place", "user", "session", "instance", "stored", "since"]
                Report(json: common.json).table(rows, columns: columns, typed: Self.typed)
            }
        }

        private static func typed(_ name: String, _ value: String) -> JSONText.Value {
            name == "stored" ? .boolean(value == "true") : .text(value)
        }
    }
}
