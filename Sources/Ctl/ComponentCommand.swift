// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl component list`: what is bound at the router.
struct ComponentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "component",
        abstract: "Shows the components that are bound at the router.",
        subcommands: [List.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists them.")
        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await Report.running {
                let loaded = try common.load()
                let router = InstanceName(kind: .router).routerName
                let rows = try await AdminClient.withLink(loaded.configuration, timeout: common.timeout) { client in
                    try await client.ask(router, "component-list")
                }
                let columns = [
                    "name", "kind", "names", "default_route", "uptime", "address", "stanzas_in", "queued_bytes",
                ]
                Report(json: common.json).table(rows, columns: columns, typed: ComponentCommand.typed)
            }
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
