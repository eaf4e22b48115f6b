// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Config
import Daemon

/// `jackdawctl check`: the configuration, what each executable finds with `--check`, and what runs.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Judges the configuration, secrets, certificates and the database, and asks what runs.",
        discussion: "Nothing needs to run for it. Exit code 78 if something is wrong."
    )
    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await Report.running {
            var findings: [CheckFinding] = []
            do throws(ConfigurationError) {
                let loaded = try ConfigurationFile.load(argument: common.file)
                let source = loaded.path ?? "none; the defaults of etc/jackdaw.yml hold, relative to var"
                findings.append(CheckFinding(.ok, "configuration", source))
                findings += Self.askExecutables(loaded.path)
                findings += await Self.askProcesses(loaded.configuration, timeout: common.timeout)
            } catch {
                findings += error.lines.map { CheckFinding(.error, "configuration", $0) }
            }
            print(Self.text(findings, json: common.json))
            if findings.contains(where: { $0.severity == .error }) { throw ArgumentParser.ExitCode(78) }
        }
    }

    static func text(_ findings: [CheckFinding], json: Bool) -> String {
        guard json else { return findings.map(\.line).joined(separator: "\n") }
        let objects = findings.map { finding in
            JSONText.Value.object([
                JSONText.Member("severity", .text(finding.severity.rawValue)),
                JSONText.Member("subject", .text(finding.subject)),
                JSONText.Member("text", .text(finding.text)),
            ])
        }
        return JSONText.encode(.array(objects))
    }

    /// The executables lie beside this one.
    private static func askExecutables(_ file: String?) -> [CheckFinding] {
        let directory = Subprocess.ownDirectory
        return [ComponentKind.router, .sm, .s2s, .c2s].flatMap { kind in
            let name = "jackdaw-\(kind.rawValue)"
            let path = "\(directory)/\(name)"
            let arguments = ["--check"] + (file.map { ["--config", $0] } ?? [])
            guard let result = Subprocess.run(path, arguments) else {
                return [CheckFinding(.error, name, "cannot be run as \(path)")]
            }
            let findings = result.output.split(separator: "\n").compactMap { CheckFinding(line: String($0)) }
            let isKnown = result.exitCode == 0 || (result.exitCode == 78 && findings.contains { $0.severity == .error })
            guard isKnown, !findings.isEmpty else {
                return [CheckFinding(.error, name, "--check ended with code \(result.exitCode)")]
            }
            return findings.filter { $0.subject != "configuration" }.map { finding in
                CheckFinding(finding.severity, "\(kind.rawValue), \(finding.subject)", finding.text)
            }
        }
    }

    /// What runs; that nothing runs is no mistake.
    private static func askProcesses(_ configuration: JackdawConfiguration, timeout: Int) async -> [CheckFinding] {
        do {
            let rows = try await AdminClient.withLink(configuration, timeout: timeout) { client in
                try await StatusCommand.rows(client)
            }
            return rows.map { row in
                let field = { name in row.first { $0.name == name }?.value ?? "" }
                let instance = "process \(field("instance"))"
                guard field("ready") == "true" else {
                    return CheckFinding(.error, instance, "not ready: \(field("waiting_for"))")
                }
                return CheckFinding(.ok, instance, "ready, pid \(field("pid")), \(field("sessions")) sessions")
            }
        } catch let refusal as Refusal {
            return [CheckFinding(refusal.code == 69 ? .ok : .error, "running suite", refusal.text)]
        } catch {
            return [CheckFinding(.error, "running suite", "\(error)")]
        }
    }
}
