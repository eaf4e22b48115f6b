// SPDX-License-Identifier: Apache-2.0

import Config

/// The arguments of a process of the suite; few enough for a parser of thirty lines.
struct Arguments: Equatable {
    enum Mode: Equatable {
        case run
        case check
        case version
        case help
    }

    /// Words for stderr; the exit code is 64.
    struct UsageError: Error, Equatable {
        let text: String
    }

    var mode = Mode.run
    var configuration: String?
    var instance: InstanceName

    init(_ arguments: [String], kind: ComponentKind) throws(UsageError) {
        instance = InstanceName(kind: kind)
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let inline = parts.count == 2 ? String(parts[1]) : nil
            switch (String(parts[0]), inline) {
            case ("--config", _): configuration = try Self.value("--config", inline, &rest)
            case ("--instance", _): instance = try Self.instance(Self.value("--instance", inline, &rest), kind)
            case ("--check", nil): mode = .check
            case ("--version", nil): mode = .version
            case ("--help", nil), ("-h", nil): mode = .help
            default: throw UsageError(text: "unknown argument '\(argument)'")
            }
            if mode == .version || mode == .help { return }
        }
    }

    static func usage(_ kind: ComponentKind) -> String {
        """
        usage: jackdaw-\(kind.rawValue) [--config FILE] [--instance \(kind.rawValue)-N] [--check]
          --config FILE    the configuration; else $JACKDAW_CONFIG, else var/jackdaw.yml
          --instance NAME  which of several instances this is (\(kind.rawValue)-1)
          --check          judge the configuration and what it names, and exit (0, or 78 for an error)
          --version, --help
        """
    }

    private static func value(
        _ name: String,
        _ inline: String?,
        _ rest: inout ArraySlice<String>
    ) throws(UsageError) -> String {
        guard let value = inline ?? rest.popFirst(), !value.isEmpty else {
            throw UsageError(text: "\(name) needs a value")
        }
        return value
    }

    private static func instance(_ text: String, _ kind: ComponentKind) throws(UsageError) -> InstanceName {
        guard let instance = InstanceName(text), instance.kind == kind else {
            throw UsageError(text: "--instance: '\(text)' is not of the form \(kind.rawValue)-1")
        }
        return instance
    }
}
