// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import SASL

/// What every mode of the load generator needs to know.
struct LoadOptions: ParsableArguments {
    @Option(help: "Address of the server.") var host = "127.0.0.1"
    @Option(help: "Port for clients.") var port = 5222
    @Flag(help: "TLS from the first byte (XEP-0368) instead of STARTTLS.") var directTLS = false
    @Flag(name: .customLong("no-tls"), help: "No TLS at all.") var noTLS = false
    @Option(help: "Domain of the accounts.") var domain = "localhost"
    @Option(help: "Accounts are PREFIX1, PREFIX2 and so on.") var prefix = "load"
    @Option(help: "The password of all accounts.") var password = "load-password"
    @Option(help: "SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN.") var mechanism = LoadMechanism.scramSHA256
    @Flag(help: "Stream management (XEP-0198) on every connection.") var streamManagement = false
    @Flag(help: "The server does not show a client its own presence, as jabberd2: a login ends with the roster.")
    var unseenPresence = false
    @Option(help: "Logins under way at a time.") var loginWindow = 32
    @Option(help: "Seconds that one login may take.") var loginTimeout = 60
    @Option(
        help: ArgumentHelp(
            "NAME=PID, may be repeated: a process whose CPU time and memory, with its children's, are reported."
        )
    )
    var process: [ObservedProcess] = []

    func validate() throws {
        guard !(directTLS && noTLS) else { throw ValidationError("--direct-tls and --no-tls exclude each other") }
        guard loginWindow > 0 else { throw ValidationError("--login-window is at least 1") }
    }

    /// The local part of a client.
    func user(_ number: Int) -> String { "\(prefix)\(number)" }

    func bareAddress(_ number: Int) -> String { "\(prefix)\(number)@\(domain)" }

    var plan: LoginStateMachine.Plan {
        LoginStateMachine.Plan(
            usesTLS: !noTLS,
            streamManagement: streamManagement,
            seesOwnPresence: !unseenPresence
        )
    }
}

/// How the generator logs in.
enum LoadMechanism: String, ExpressibleByArgument, CaseIterable, Sendable {
    case scramSHA256 = "SCRAM-SHA-256"
    case scramSHA1 = "SCRAM-SHA-1"
    case plain = "PLAIN"

    var hash: SCRAMHash? {
        switch self {
        case .scramSHA256: .sha256
        case .scramSHA1: .sha1
        case .plain: nil
        }
    }
}
