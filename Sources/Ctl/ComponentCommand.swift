// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl component list`: what is bound at the routers.
struct ComponentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "component",
        abstract: "Shows the components that are bound at the routers.",
        subcommands: [List.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists them.")
        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await Report.running {
                let loaded = try common.load()
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await Self.rows(client)
                }
                let columns = [
                    "name", "kind", "names", "default_route", "uptime", "address", "stanzas_in", "queued_bytes",
                    "router",
                ]
                Report(json: common.json).table(rows, columns: columns, typed: ComponentCommand.typed)
            }
        }

        /// What each router has, in turn: an instance is in the list once for each router that it links to.
        private static func rows(_ client: AdminClient) async throws -> [[AdminField]] {
            var rows: [[AdminField]] = []
            for router in try await client.routers() {
                let name = InstanceName(routerName: router)?.description ?? router
                let found = try await client.ask(router, "component-list")
                rows += found.map { $0 + [AdminField("router", name)] }
            }
            return rows
        }
    }

    static func typed(_ name: String, _ value: String) -> JSONText.Value {
        switch name {
        case "uptime", "stanzas_in", "queued_bytes": Int(value).map { .integer($0) } ?? .text(value)
        case "default_route": .boolean(value == "true")
        case "names": .array(value.split(separator: " ").map { .text(String($0)) })
        default: .text(value)
        }
    }
}
