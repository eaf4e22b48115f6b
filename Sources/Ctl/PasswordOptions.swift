// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Daemon
import Glibc

/// Where a password comes from: an option, standard input, or the terminal without echo.
struct PasswordOptions: ParsableArguments {
    @Option(help: "The password; others see it in the list of processes. Without it, it is asked for.")
    var password: String?

    @Flag(help: "Reads the password from the first line of standard input.")
    var passwordStdin = false

    func validate() throws {
        if password != nil && passwordStdin { throw ValidationError("--password or --password-stdin, not both.") }
    }

    func obtain(for user: String, input: Int32 = STDIN_FILENO) throws -> Secret {
        if let password { return Secret(password) }
        guard !passwordStdin, isatty(input) == 1 else {
            let line = try Line.read(from: input)
            guard !line.isEmpty else { throw Refusal(.usage, "no password on standard input") }
            return Secret(line)
        }
        let first = try HiddenPrompt.ask("Password for \(user): ")
        guard !first.isEmpty else { throw Refusal(.usage, "an empty password") }
        guard try HiddenPrompt.ask("Again: ") == first else { throw Refusal(.usage, "the two passwords differ") }
        return Secret(first)
    }
}
