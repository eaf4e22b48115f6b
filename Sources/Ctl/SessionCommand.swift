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
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await Self.rows(of: jid, loaded.configuration.domains.map(\.name), client)
                }
                let columns = ["jid", "instance", "state", "since", "address", "tls", "mechanism", "priority"]
                Report(json: common.json).table(rows, columns: columns, typed: SessionCommand.typed)
            }
        }

        private static func rows(
            of jid: JID?,
            _ domains: [String],
            _ client: AdminClient
        ) async throws -> [[AdminField]] {
            let arguments = jid.map { [AdminField("user", $0.description)] } ?? []
            var rows: [[AdminField]] = []
            for manager in try await client.instances(serving: jid.map { [$0.domain] } ?? domains) {
                rows += try await client.pages(manager, "session-list", arguments, key: "jid")
            }
            return rows
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
                    try await Self.kick(jid, client)
                }
                if common.json { return print(Report.json(rows, typed: SessionCommand.typed)) }
                for row in rows { print("ended \(Report.cell(row.first { $0.name == "jid" }?.value))") }
            }
        }

        /// Of several session managers one has the user's sessions; the others know of none.
        private static func kick(_ jid: JID, _ client: AdminClient) async throws -> [[AdminField]] {
            var rows: [[AdminField]] = []
            var refusal: Refusal?
            for manager in try await client.instances(serving: [jid.domain]) {
                do {
                    rows += try await client.ask(manager, "session-kick", [AdminField("jid", jid.description)])
                } catch let error as Refusal where error.code == Refusal.refused {
                    refusal = error
                }
            }
            if rows.isEmpty, let refusal { throw refusal }
            return rows
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
