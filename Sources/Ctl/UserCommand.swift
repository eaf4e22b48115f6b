// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon
import XMPPCore

/// `jackdawctl user …`: accounts, by requests to the session manager of their domain.
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Makes, changes, removes and lists accounts.",
        subcommands: [Add.self, Passwd.self, Remove.self, List.self]
    )

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Makes an account.")
        @OptionGroup var common: CommonOptions
        @OptionGroup var password: PasswordOptions
        @Argument(help: "The address: alice@localhost.") var user: String

        func run() async throws {
            try await UserCommand.setPassword("user-add", user, password, common) { "\($0) was added." }
        }
    }

    struct Passwd: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Sets an account's password.")
        @OptionGroup var common: CommonOptions
        @OptionGroup var password: PasswordOptions
        @Argument(help: "The address: alice@localhost.") var user: String

        func run() async throws {
            try await UserCommand.setPassword("user-passwd", user, password, common) {
                "The password of \($0) was set."
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ends an account's sessions and removes all that is stored of it."
        )
        @OptionGroup var common: CommonOptions
        @Argument(help: "The address: alice@localhost.") var user: String

        func run() async throws {
            try await Report.running {
                let jid = try UserCommand.bareJID(user)
                let loaded = try common.load()
                _ = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await client.askOwner(
                        servedBy: loaded.configuration.nearest(jid.domain),
                        "user-remove",
                        [AdminField("user", jid.description)]
                    )
                }
                let members = [JSONText.Member("user", .text(jid.description))]
                Report(json: common.json).done("\(jid) was removed.", members)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists the accounts of a domain, or of all, those included that are hosted no longer."
        )
        @OptionGroup var common: CommonOptions
        @Argument(help: "A domain; all without.") var domain: String?

        func run() async throws {
            try await Report.running {
                let loaded = try common.load()
                let domain = try domain.map(UserCommand.domain)
                let arguments = domain.map { [AdminField("domain", $0)] } ?? []
                let server = loaded.configuration.nearest(domain ?? loaded.configuration.mainDomain)
                let answers = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await client.askAll(serving: [server]) { manager in
                        try await client.pages(manager, "user-list", arguments, key: "user")
                    }
                }
                let columns = ["user", "created", "sessions"]
                let rows = Self.joined(answers.rows)
                Report(json: common.json).table(rows, columns: columns, typed: UserCommand.typed)
                try answers.requireAll()
            }
        }

        /// Each session manager lists all accounts, with the sessions that it has itself.
        static func joined(_ lists: [[[AdminField]]]) -> [[AdminField]] {
            var sessions: [String: Int] = [:]
            for row in lists.joined() {
                guard let user = row.first(where: { $0.name == "user" })?.value else { continue }
                sessions[user, default: 0] += row.first { $0.name == "sessions" }.flatMap { Int($0.value) } ?? 0
            }
            return (lists.first ?? []).map { row in
                let user = row.first { $0.name == "user" }?.value ?? ""
                return row.map { $0.name == "sessions" ? AdminField("sessions", String(sessions[user] ?? 0)) : $0 }
            }
        }
    }

    /// A domain the way that the suite has it.
    static func domain(_ text: String) throws -> String {
        do throws(JIDError) {
            return try BareJID.prepareDomain(text)
        } catch {
            throw Refusal(.usage, "'\(text)' is no domain: \(error)")
        }
    }

    static func typed(_ name: String, _ value: String) -> JSONText.Value {
        name == "sessions" ? Int(value).map { .integer($0) } ?? .text(value) : .text(value)
    }

    static func bareJID(_ text: String) throws -> JID {
        let jid: JID
        do throws(JIDError) {
            jid = try JID(text)
        } catch {
            throw Refusal(.usage, "'\(text)' is no address: \(error)")
        }
        guard jid.local != nil, jid.isBare else {
            throw Refusal(.usage, "'\(text)': an address such as alice@localhost is expected")
        }
        return jid
    }

    private static func setPassword(
        _ command: String,
        _ user: String,
        _ password: PasswordOptions,
        _ common: CommonOptions,
        _ sentence: (String) -> String
    ) async throws {
        try await Report.running {
            let jid = try bareJID(user)
            let loaded = try common.load()
            try loaded.configuration.requireHosted(jid.domain)
            let secret = try password.obtain(for: jid.description)
            let arguments = [AdminField("user", jid.description), AdminField("password", secret.revealed)]
            _ = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                let manager = try await client.instance(serving: jid.domain)
                return try await client.ask(manager, command, arguments)
            }
            let members = [JSONText.Member("user", .text(jid.description))]
            Report(json: common.json).done(sentence(jid.description), members)
        }
    }
}

extension AdminClient {
    /// Asks for a list page by page, since an answer has a bound; `key` is the field that the pages go by. The last
    /// page is an empty one.
    func pages(
        _ instance: String,
        _ command: String,
        _ arguments: [AdminField],
        key: String
    ) async throws -> [[AdminField]] {
        try await Self.pages(arguments, key: key) { try await ask(instance, command, $0) }
    }

    /// Likewise, of whatever answers.
    static func pages(
        _ arguments: [AdminField],
        key: String,
        _ ask: ([AdminField]) async throws -> [[AdminField]]
    ) async throws -> [[AdminField]] {
        var rows: [[AdminField]] = []
        var after: String?
        while true {
            let page = try await ask(arguments + (after.map { [AdminField("after", $0)] } ?? []))
            rows += page
            let last = page.last?.first { $0.name == key }?.value
            guard let last, last != after else { return rows }
            after = last
        }
    }
}
