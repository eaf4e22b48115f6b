// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Daemon

/// `jackdawctl config`: what the scripts need to know of the configuration, read the way the processes read it.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show where things are, according to the configuration."
    )

    @Option(help: "The configuration file; else $JACKDAW_CONFIG, else var/jackdaw.yml.")
    var config: String?

    @Flag(help: "As one JSON object.")
    var json = false

    func run() throws {
        let configuration: JackdawConfiguration
        do throws(ConfigurationError) {
            configuration = try ConfigurationFile.load(argument: config).configuration
        } catch {
            print(error.description, to: &standardError)
            throw ArgumentParser.ExitCode(Daemon.ExitCode.configuration.rawValue)
        }
        let report = ConfigurationReport(configuration)
        print(json ? JSONText.encode(report.value) : report.text)
    }
}

/// The parts of the configuration that `scripts/` use; no secrets.
struct ConfigurationReport {
    let value: JSONText.Value

    init(_ configuration: JackdawConfiguration) {
        value = .object([
            .init("domains", .array(configuration.domains.map { .text($0.name) })),
            .init("private_database", .boolean(configuration.hasPrivateDatabase)),
            .init("paths", Self.paths(configuration.paths)),
            .init("http", Self.http(configuration.http)),
            .init("supervisor", Self.supervisor(configuration.supervisor)),
            .init("router", .text(configuration.router.listen.description)),
            .init("listeners", .array(configuration.c2s.listeners.map(Self.listener))),
        ])
    }

    /// `paths.run  /run/jackdaw`, a line for each.
    var text: String { Self.lines(value, name: "").joined(separator: "\n") }

    private static func paths(_ paths: JackdawConfiguration.Paths) -> JSONText.Value {
        .object([
            .init("state", .text(paths.state)),
            .init("run", .text(paths.run)),
            .init("certificates", .text(paths.certificates)),
            .init("logs", .text(paths.logs)),
        ])
    }

    private static func http(_ http: JackdawConfiguration.HTTP) -> JSONText.Value {
        .object([
            .init("address", .text(http.address)),
            .init("router", .integer(http.routerPort)),
            .init("c2s", .integer(http.c2sPort)),
            .init("sm", .integer(http.smPort)),
        ])
    }

    private static func supervisor(_ supervisor: JackdawConfiguration.Supervisor) -> JSONText.Value {
        .object([
            .init("router", .integer(supervisor.router)),
            .init("c2s", .integer(supervisor.c2s)),
            .init("sm", .integer(supervisor.sm)),
            .init("restart_delay_maximum", .integer(Int(supervisor.restartDelayMaximum.components.seconds))),
            .init("log_bytes", .integer(supervisor.logBytes)),
            .init("log_files", .integer(supervisor.logFiles)),
        ])
    }

    private static func listener(_ listener: JackdawConfiguration.Listener) -> JSONText.Value {
        .object([
            .init("address", .text(listener.address.host)),
            .init("port", .integer(listener.address.port)),
            .init("tls", .text(listener.tls.rawValue)),
        ])
    }

    private static func lines(_ value: JSONText.Value, name: String) -> [String] {
        switch value {
        case .object(let members):
            members.flatMap { lines($0.value, name: name.isEmpty ? $0.name : "\(name).\($0.name)") }
        case .array(let values):
            values.enumerated().flatMap { lines($0.element, name: "\(name).\($0.offset + 1)") }
        case .text(let text): ["\(name)  \(text)"]
        default: ["\(name)  \(JSONText.encode(value))"]
        }
    }
}
