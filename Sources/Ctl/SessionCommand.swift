// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon
import XMPPCore

/// `jackdawctl session …`: who is logged in.
struct SessionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session",
        abstract: "Lists and ends the sessions of clients.",
        subcommands: [List.self, Kick.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists sessions: of a user, or all.")
        @OptionGroup var common: CommonOptions
        @Argument(help: "A user's address; all without.") var user: String?

        func run() async throws {
            try await Report.running {
                let jid = try user.map(UserCommand.bareJID)
                let loaded = try common.load()
                if let jid { try loaded.configuration.requireHosted(jid.domain) }
                let domains = jid.map { [$0.domain] } ?? loaded.configuration.domains.map(\.name)
                let arguments = jid.map { [AdminField("user", $0.description)] } ?? []
                let answers = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await client.askAll(serving: domains) { manager in
                        try await client.pages(manager, "session-list", arguments, key: "jid")
                    }
                }
                let columns = [
                    "jid", "instance", "manager", "state", "since", "address", "tls", "mechanism", "priority",
                ]
                Report(json: common.json).table(
                    Self.joined(answers.rows),
                    columns: columns,
                    typed: SessionCommand.typed
                )
                try answers.requireAll()
            }
        }

        /// The sessions of all session managers in the order of their addresses. One that goes from one to another
        /// meanwhile may be listed by both.
        static func joined(_ lists: [[[AdminField]]]) -> [[AdminField]] {
            var rows: [String: [AdminField]] = [:]
            for row in lists.joined() {
                guard let jid = row.first(where: { $0.name == "jid" })?.value else { continue }
                rows[jid] = row
            }
            return rows.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    struct Kick: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ends a session (full address), or all of a user (bare address)."
        )
        @OptionGroup var common: CommonOptions
        @Argument(help: "alice@localhost/phone, or alice@localhost.") var address: String

        func run() async throws {
            try await Report.running {
                let jid: JID
                do throws(JIDError) {
                    jid = try JID(address)
                } catch {
                    throw Refusal(.usage, "'\(address)' is no address: \(error)")
                }
                let loaded = try common.load()
                try loaded.configuration.requireHosted(jid.domain)
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await client.askOwner(
                        servedBy: jid.domain,
                        "session-kick",
                        [AdminField("jid", jid.description)]
                    )
                }
                if common.json { return print(Report.json(rows, typed: SessionCommand.typed)) }
                for row in rows { print("ended \(Report.cell(row.first { $0.name == "jid" }?.value))") }
            }
        }
    }

    static func typed(_ name: String, _ value: String) -> JSONText.Value {
        switch name {
        case "priority", "unacknowledged": value.isEmpty ? .null : Int(value).map { .integer($0) } ?? .text(value)
        case "resumable": .boolean(value == "true")
        default: .text(value)
        }
    }
}
