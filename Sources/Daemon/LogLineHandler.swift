// SPDX-License-Identifier: Apache-2.0

package import Config
import Glibc
package import Logging
import Synchronization

/// The level and form of the log of this process; SIGHUP may change both while loggers are in use.
package final class LogSettings: Sendable {
    private let level: Atomic<Int>
    private let isJSON: Atomic<Bool>
    /// In every line: which process of the suite wrote it.
    let instance: String
    let output: @Sendable ([UInt8]) -> Void

    package convenience init(_ log: JackdawConfiguration.Log, instance: String) {
        self.init(log, instance: instance, output: Self.writeToStandardOutput)
    }

    init(_ log: JackdawConfiguration.Log, instance: String, output: @escaping @Sendable ([UInt8]) -> Void) {
        self.level = Atomic(Self.rank(of: log.level))
        self.isJSON = Atomic(log.format == .json)
        self.instance = instance
        self.output = output
    }

    package func apply(_ log: JackdawConfiguration.Log) {
        level.store(Self.rank(of: log.level), ordering: .relaxed)
        isJSON.store(log.format == .json, ordering: .relaxed)
    }

    package func logger(_ label: String) -> Logger {
        Logger(label: label) { _ in LogLineHandler(settings: self) }
    }

    var logLevel: Logger.Level {
        // Asked for every stanza: no array is made here.
        let rank = level.load(ordering: .relaxed)
        return Self.levels.indices.contains(rank) ? Self.levels[rank] : .info
    }

    var format: JackdawConfiguration.Log.Format { isJSON.load(ordering: .relaxed) ? .json : .text }

    private static let levels = Logger.Level.allCases

    private static func rank(of level: JackdawConfiguration.Log.Level) -> Int {
        let named = Logger.Level(rawValue: level.rawValue) ?? .info
        return levels.firstIndex(of: named) ?? 0
    }

    /// One `write` for a line, so that lines of several threads do not mix; what cannot be written is lost.
    private static func writeToStandardOutput(_ line: [UInt8]) {
        var rest = line[...]
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}

/// Writes each message as one line, for people or as JSON; swift-log's form of it, without Foundation.
///
/// What came from outside may be in messages and metadata: control characters are escaped, a value with spaces
/// is quoted, and so nobody can forge a line.
package struct LogLineHandler: LogHandler {
    private let settings: LogSettings
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    /// A level of this logger's own; else the process's.
    private var ownLevel: Logger.Level?

    init(settings: LogSettings) {
        self.settings = settings
    }

    package var logLevel: Logger.Level {
        get { ownLevel ?? settings.logLevel }
        set { ownLevel = newValue }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadata
        if let provided = metadataProvider?.get() { merged.merge(provided) { $1 } }
        if let own = event.metadata { merged.merge(own) { $1 } }
        if let error = event.error { merged["error"] = "\(error)" }
        let pairs = merged.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
        var line: [UInt8] = []
        line.reserveCapacity(200)
        switch settings.format {
        case .text: writeText(event, pairs, to: &line)
        case .json: writeJSON(event, pairs, to: &line)
        }
        line.append(UInt8(ascii: "\n"))
        settings.output(line)
    }

    private func writeText(
        _ event: LogEvent,
        _ pairs: [(key: String, value: Logger.MetadataValue)],
        to line: inout [UInt8]
    ) {
        Timestamp.now().write(to: &line)
        line.append(UInt8(ascii: " "))
        line += event.level.rawValue.utf8
        line.append(UInt8(ascii: " "))
        line += settings.instance.utf8
        line += ": ".utf8
        Self.writeEscaped(event.message.description, to: &line)
        for (key, value) in pairs {
            line.append(UInt8(ascii: " "))
            Self.writeEscaped(key, to: &line)
            line.append(UInt8(ascii: "="))
            let text = value.description
            if text.isEmpty || text.utf8.contains(where: { $0 <= 0x20 || $0 == UInt8(ascii: "\"") }) {
                JSONText.write(text, to: &line)
            } else {
                Self.writeEscaped(text, to: &line)
            }
        }
    }

    private func writeJSON(
        _ event: LogEvent,
        _ pairs: [(key: String, value: Logger.MetadataValue)],
        to line: inout [UInt8]
    ) {
        var time: [UInt8] = []
        Timestamp.now().write(to: &time)
        var members = [
            JSONText.Member("time", .text(String(decoding: time, as: UTF8.self))),
            JSONText.Member("level", .text(event.level.rawValue)),
            JSONText.Member("instance", .text(settings.instance)),
            JSONText.Member("message", .text(event.message.description)),
        ]
        for (key, value) in pairs {
            let isTaken = ["time", "level", "instance", "message"].contains(key)
            members.append(JSONText.Member(isTaken ? "_" + key : key, Self.json(value)))
        }
        JSONText.write(.object(members), to: &line)
    }

    private static func json(_ value: Logger.MetadataValue) -> JSONText.Value {
        switch value {
        case .string(let text): .text(text)
        case .stringConvertible(let value): .text(value.description)
        case .array(let values): .array(values.map(json))
        case .dictionary(let values):
            .object(values.sorted { $0.key < $1.key }.map { JSONText.Member($0.key, json($0.value)) })
        }
    }

    private static func writeEscaped(_ text: String, to line: inout [UInt8]) {
        for byte in text.utf8 {
            if byte < 0x20 || byte == 0x7F {
                var quoted: [UInt8] = []
                JSONText.write(String(UnicodeScalar(byte)), to: &quoted)
                line += quoted.dropFirst().dropLast()
            } else {
                line.append(byte)
            }
        }
    }
}
