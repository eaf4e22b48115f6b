// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// A load generator for any XMPP server. The accounts must be there; `prepare` makes them where the server lets
/// strangers register (XEP-0077).
@main
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jackdaw-load",
        abstract: "Puts an XMPP server under load and prints a line of JSON.",
        subcommands: [
            PrepareCommand.self, LoginCommand.self, IdleCommand.self, ChatCommand.self, PresenceCommand.self,
            OfflineCommand.self, ChaosCommand.self,
        ]
    )

    static func main() async {
        raiseFileLimit()
        await main(nil)
    }

    /// Every client is a file.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
