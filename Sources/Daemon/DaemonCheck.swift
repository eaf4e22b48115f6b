// SPDX-License-Identifier: Apache-2.0

import Config
import Logging
import NIOCore
import NIOPosix

/// `--check`: judges the configuration and what the executable needs, without serving; a line for each finding.
enum DaemonCheck {
    static func run(_ arguments: Arguments, _ check: DaemonRunner.Check) async -> ExitCode {
        var findings: [CheckFinding] = []
        do throws(ConfigurationError) {
            let loaded = try ConfigurationFile.load(argument: arguments.configuration)
            let source = loaded.path ?? "none; the defaults of etc/jackdaw.yml, relative to var"
            findings.append(CheckFinding(.ok, "configuration", source))
            findings += await judge(arguments.instance, loaded.configuration, check)
        } catch {
            findings += error.lines.map { CheckFinding(.error, "configuration", $0) }
        }
        for finding in findings { print(finding.line) }
        return findings.contains { $0.severity == .error } ? .configuration : .success
    }

    private static func judge(
        _ instance: InstanceName,
        _ configuration: JackdawConfiguration,
        _ check: DaemonRunner.Check
    ) async -> [CheckFinding] {
        var findings: [CheckFinding] = []
        if let secret = configuration.secretFile(for: instance.kind) {
            let subject = "secret of \(instance.kind.rawValue)"
            do throws(SecretFileError) {
                _ = try Secret.load(file: secret)
                findings.append(CheckFinding(.ok, subject, secret))
            } catch {
                findings.append(CheckFinding(.error, subject, error.description))
            }
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        let context = DaemonContext(
            instance: instance,
            configuration: configuration,
            group: group,
            threadPool: threads,
            logger: Logger(label: "check") { _ in SwiftLogNoOpLogHandler() }
        )
        for finding in await check(context) where !findings.contains(finding) { findings.append(finding) }
        try? await threads.shutdownGracefully()
        try? await group.shutdownGracefully()
        return findings
    }
}
