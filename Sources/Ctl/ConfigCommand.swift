// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Config
import Daemon

/// `jackdawctl config`: what scripts need to know of the configuration, after defaults and with absolute paths.
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Prints what scripts need of the configuration: domains, paths, ports, numbers of processes."
    )
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await Report.running {
            let configuration = try common.load().configuration
            let value = Self.summary(configuration)
            if common.json { return print(JSONText.encode(value)) }
            for line in Self.lines(value) { print(line) }
        }
    }

    static func summary(_ configuration: JackdawConfiguration) -> JSONText.Value {
        let paths = configuration.paths
        let http = configuration.http
        let supervisor = configuration.supervisor
        return .object([
            JSONText.Member("domains", .array(configuration.domains.map { .text($0.name) })),
            JSONText.Member("certificates", .array(configuration.domains.map { certificate(configuration, $0) })),
            JSONText.Member("private_database", .boolean(configuration.hasPrivateDatabase)),
            object(
                "paths",
                [
                    ("run", .text(paths.run)), ("certificates", .text(paths.certificates)),
                    ("logs", .text(paths.logs)),
                ]
            ),
            JSONText.Member("router", .text(configuration.router.listen.description)),
            JSONText.Member("listeners", .array(configuration.c2s.listeners.map(listener))),
            JSONText.Member("s2s_listeners", .array(configuration.s2s.listeners.map(listener))),
            object(
                "http",
                [
                    ("address", .text(http.address)), ("router", .integer(http.routerPort)),
                    ("c2s", .integer(http.c2sPort)), ("sm", .integer(http.smPort)), ("s2s", .integer(http.s2sPort)),
                ]
            ),
            object(
                "supervisor",
                [
                    ("router", .integer(supervisor.router)), ("c2s", .integer(supervisor.c2s)),
                    ("sm", .integer(supervisor.sm)), ("s2s", .integer(supervisor.s2s)),
                    (
                        "restart_delay_maximum",
                        .integer(Int(supervisor.restartDelayMaximum.components.seconds))
                    ),
                    ("log_bytes", .integer(supervisor.logBytes)), ("log_files", .integer(supervisor.logFiles)),
                ]
            ),
        ])
    }

    private static func object(_ name: String, _ members: [(String, JSONText.Value)]) -> JSONText.Member {
        JSONText.Member(name, .object(members.map { JSONText.Member($0.0, $0.1) }))
    }

    private static func certificate(_ configuration: JackdawConfiguration, _ domain: HostedDomain) -> JSONText.Value {
        let files = configuration.certificateFiles(for: domain)
        return .object([
            JSONText.Member("domain", .text(domain.name)),
            JSONText.Member("dns_name", .text(domain.dnsName)),
            JSONText.Member("certificate", .text(files.certificate)),
            JSONText.Member("key", .text(files.key)),
        ])
    }

    private static func listener(_ listener: JackdawConfiguration.Listener) -> JSONText.Value {
        .object([
            JSONText.Member("address", .text(listener.address.description)),
            JSONText.Member("tls", .text(listener.tls.rawValue)),
        ])
    }

    /// `paths.run: /run/jackdaw`, a line for each value.
    static func lines(_ value: JSONText.Value, path: String = "") -> [String] {
        switch value {
        case .object(let members):
            members.flatMap { lines($0.value, path: path.isEmpty ? $0.name : "\(path).\($0.name)") }
        case .array(let values):
            values.enumerated().flatMap { lines($0.element, path: "\(path)[\($0.offset)]") }
        case .text(let text): ["\(path): \(text)"]
        case .integer(let number): ["\(path): \(number)"]
        case .boolean(let flag): ["\(path): \(flag)"]
        case .null: ["\(path): ~"]
        }
    }
}
