// SPDX-License-Identifier: Apache-2.0

package import Config
import Glibc
package import ServiceLifecycle

/// The `main` of every process of the suite: arguments, configuration, log, signals, metrics, life cycle.
package enum DaemonRunner {
    /// What an executable's check looks at, beyond the configuration, which is valid by then.
    package typealias Check = @Sendable (DaemonContext) async -> [CheckFinding]
    /// Builds the services of a process; they run until SIGTERM asks them to stop, in the reverse order.
    package typealias Start = @Sendable (DaemonContext) async throws -> [any Service]

    /// Runs the process to its end.
    package static func main(kind: ComponentKind, check: @escaping Check, start: @escaping Start) async -> Never {
        exit(
            await run(arguments: Array(CommandLine.arguments.dropFirst()), kind: kind, check: check, start: start)
                .rawValue
        )
    }

    static func run(arguments: [String], kind: ComponentKind, check: Check, start: Start) async -> ExitCode {
        .internalError
    }
}
