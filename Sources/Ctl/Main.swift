// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Daemon

/// `jackdawctl`: asks the processes of the suite through the router; it opens no database.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jackdawctl",
        abstract: "Administers a Jackdaw suite.",
        discussion: """
            Exit codes: 0 done, 1 refused (the reason is on stderr), 64 usage, 69 the suite or the process that is \
            asked does not run, 70 internal, 78 configuration. docs/administration.md describes all commands.
            """,
        version: BuildInformation.version,
        subcommands: [
            UserCommand.self, SessionCommand.self, ComponentCommand.self, S2SCommand.self, StatusCommand.self,
            TraceCommand.self,
            CheckCommand.self, ConfigCommand.self,
        ]
    )
}
