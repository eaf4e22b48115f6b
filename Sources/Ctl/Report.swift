// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ComponentLink
import Daemon
import Glibc

/// Prints rows for people or as JSON, and turns a refusal into words on stderr and an exit code.
struct Report {
    let json: Bool

    /// Runs a command's body; whatever it throws ends the tool with its code.
    static func running(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let refusal as Refusal {
            complain(refusal.text)
            throw ArgumentParser.ExitCode(refusal.code)
        } catch let end as ArgumentParser.ExitCode {
            throw end
        } catch {
            complain("a mistake of ours: \(error)")
            throw ArgumentParser.ExitCode(Daemon.ExitCode.internalError.rawValue)
        }
    }

    static func complain(_ text: String) {
        let bytes = Array("jackdawctl: \(text)\n".utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }

    /// A table with the fields' names as its head, or a list of objects.
    func table(_ rows: [[AdminField]], columns: [String], typed: (String, String) -> JSONText.Value) {
        print(json ? Self.json(rows, typed: typed) : Self.lines(rows, columns: columns).joined(separator: "\n"))
    }

    /// The lines of a table.
    static func lines(_ rows: [[AdminField]], columns: [String]) -> [String] {
        let cells = rows.map { row in columns.map { name in cell(row.first { $0.name == name }?.value) } }
        let lines = [columns] + cells
        let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            var text = ""
            for (cell, width) in zip(line, widths) {
                text += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while text.last == " " { text.removeLast() }
            return text
        }
    }

    /// A list of objects.
    static func json(_ rows: [[AdminField]], typed: (String, String) -> JSONText.Value) -> String {
        let objects = rows.map { row in
            JSONText.Value.object(row.map { JSONText.Member($0.name, typed($0.name, $0.value)) })
        }
        return JSONText.encode(.array(objects))
    }

    /// One row: a sentence for people, an object for machines.
    func done(_ sentence: String, _ members: [JSONText.Member]) {
        print(text(sentence, members))
    }

    func text(_ sentence: String, _ members: [JSONText.Member]) -> String {
        json ? JSONText.encode(.object(members)) : sentence
    }

    /// Text of others on a terminal: control characters would move its cursor.
    static func cell(_ value: String?) -> String {
        guard let value, !value.isEmpty else { return "-" }
        var clean = ""
        for scalar in value.unicodeScalars {
            let isControl =
                scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
            clean.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
        }
        return clean
    }
}
