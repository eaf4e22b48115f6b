// SPDX-License-Identifier: Apache-2.0

package import Config
import Glibc
import Logging
import NIOCore
import NIOPosix
package import ServiceLifecycle

/// The `main` of every process of the suite: arguments, configuration, log, signals, metrics, life cycle.
///
/// SIGTERM and SIGINT end the services in the reverse order of their start; SIGHUP reads the configuration again.
/// Exit codes: 0 asked to stop, 64 usage, 69 needed service absent at the start, 70 internal, 78 configuration.
package enum DaemonRunner {
    /// What an executable's `--check` looks at, beyond the configuration, which is valid by then.
    package typealias Check = @Sendable (DaemonContext) async -> [CheckFinding]
    /// Builds the services of a process; they run until they are asked to stop, in the reverse order.
    package typealias Start = @Sendable (DaemonContext) async throws -> [any Service]

    /// Runs the process to its end.
    package static func main(kind: ComponentKind, check: @escaping Check, start: @escaping Start) async -> Never {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let code = await run(arguments: arguments, kind: kind, check: check, start: start)
        exit(code.rawValue)
    }

    static func run(
        arguments: [String],
        kind: ComponentKind,
        check: @escaping Check,
        start: @escaping Start
    ) async -> ExitCode {
        let parsed: Arguments
        do throws(Arguments.UsageError) {
            parsed = try Arguments(arguments, kind: kind)
        } catch {
            complain("jackdaw-\(kind.rawValue): \(error.text)\n\(Arguments.usage(kind))")
            return .usage
        }
        switch parsed.mode {
        case .version: print("jackdaw-\(kind.rawValue) \(BuildInformation.version)")
        case .help: print(Arguments.usage(kind))
        case .check: return await DaemonCheck.run(parsed, check)
        case .run: return await serve(parsed, start)
        }
        return .success
    }

    private static func serve(_ arguments: Arguments, _ start: @escaping Start) async -> ExitCode {
        let loaded: ConfigurationFile.Loaded
        do throws(ConfigurationError) {
            loaded = try ConfigurationFile.load(argument: arguments.configuration)
        } catch {
            complain(error.description)
            return .configuration
        }
        let settings = LogSettings(loaded.configuration.log, instance: arguments.instance.description)
        LoggingSystem.bootstrap { _ in LogLineHandler(settings: settings) }
        let process = DaemonProcess(arguments, loaded, settings)
        return await process.run(start)
    }

    /// Words to stderr, for what is wrong before there is a log.
    static func complain(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }
}
