// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// What every mode of the load generator needs to know.
struct LoadOptions: ParsableArguments {
    @Option(help: "Address of the server.") var host = "127.0.0.1"
    @Option(help: "Port for clients.") var port = 5222
    @Flag(help: "TLS from the first byte (XEP-0368) instead of STARTTLS.") var directTLS = false
    @Option(help: "Domain of the accounts.") var domain = "localhost"
    @Option(help: "Accounts are PREFIX1, PREFIX2 and so on.") var prefix = "load"
    @Option(help: "The password of all accounts.") var password = "load"
    @Option(help: "SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN.") var mechanism = LoadMechanism.plain
    @Option(help: "Logins under way at a time.") var loginWindow = 32
    @Option(help: "NAME=PID, may be repeated: processes whose CPU time and memory are reported.")
    var process: [ObservedProcess] = []
}

/// How the generator logs in.
enum LoadMechanism: String, ExpressibleByArgument, CaseIterable, Sendable {
    case scramSHA256 = "SCRAM-SHA-256"
    case scramSHA1 = "SCRAM-SHA-1"
    case plain = "PLAIN"
}
