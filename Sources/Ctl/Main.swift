// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The administrator's command.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jackdawctl",
        abstract: "Administers a Jackdaw suite.",
        subcommands: [ConfigCommand.self]
    )
}
