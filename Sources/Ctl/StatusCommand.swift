// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl status`: every process that is bound at the routers, in its own words.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows the processes that are linked to the routers.",
        discussion: "Exit code 1 if one of them is not ready. A process that does not run is not in the list."
    )
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await Report.running {
            let loaded = try common.load()
            let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                try await StatusCommand.rows(client)
            }
            Report(json: common.json).table(rows, columns: Self.columns, typed: ProcessStatus.typed)
            let waiting = rows.filter { row in !row.contains { $0.name == "ready" && $0.value == "true" } }
            if !waiting.isEmpty { throw Refusal(refused: "not all processes are ready") }
        }
    }

    static let columns = [
        "process", "instance", "pid", "uptime", "connected", "sessions", "ready", "http_port", "waiting_for",
    ]

    /// One row for each process; a process that does not answer has a row that says so.
    static func rows(_ client: AdminClient) async throws -> [[AdminField]] {
        let all = try await client.instances()
        // All at once: one that hangs costs the others nothing.
        return await withTaskGroup(of: (Int, [[AdminField]]).self) { group in
            for (index, instance) in all.enumerated() {
                group.addTask { (index, await row(instance, client)) }
            }
            var rows: [Int: [[AdminField]]] = [:]
            for await (index, answer) in group { rows[index] = answer }
            return all.indices.flatMap { rows[$0] ?? [] }
        }
    }

    private static func row(_ instance: String, _ client: AdminClient) async -> [[AdminField]] {
        do {
            return try await client.ask(instance, "status")
        } catch {
            let name = String(instance.prefix { $0 != "." })
            let reason = (error as? Refusal)?.text ?? "\(error)"
            return [
                [
                    AdminField("process", String(name.prefix { $0 != "-" })), AdminField("instance", name),
                    AdminField("connected", "false"), AdminField("ready", "false"), AdminField("waiting_for", reason),
                ]
            ]
        }
    }
}
