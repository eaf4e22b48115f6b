// SPDX-License-Identifier: Apache-2.0

/// Collects what is wrong with a file while its sections are read, so that all is reported at once.
final class IssueCollector {
    private(set) var issues: [ConfigurationIssue] = []
    /// The keys that exist but are not in the file, as paths.
    private(set) var absentKeys: [String] = []
    private var marks: [String: Mark] = [:]
    /// What relative paths are relative to; empty: they stay as they are.
    let directory: String

    init(directory: String) {
        self.directory = directory
    }

    func report(_ mark: Mark?, _ text: String) {
        issues.append(ConfigurationIssue(mark: mark, text: text))
    }

    /// Reports at the place of a key that was read, or of the file when it is not in there.
    func report(at path: String, _ text: String) {
        report(marks[path], "\(path): \(text)")
    }

    /// In the order of the file, what has no place last.
    var sortedIssues: [ConfigurationIssue] {
        let last = Mark(line: .max, column: .max)
        return issues.sorted { a, b in
            let (left, right) = (a.mark ?? last, b.mark ?? last)
            return (left.line, left.column) < (right.line, right.column)
        }
    }

    func note(_ path: String, at mark: Mark) {
        marks[path] = mark
    }

    func noteAbsent(_ path: String) {
        absentKeys.append(path)
    }

    func resolve(_ path: String) -> String {
        guard !directory.isEmpty, !path.hasPrefix("/") else { return path }
        if path == "." { return directory }
        return directory.hasSuffix("/") ? directory + path : directory + "/" + path
    }
}

/// Reads the keys of one section into values that hold the defaults; a key that is absent leaves them alone.
///
/// Each typed read names its key, so the section's keys are known when `finish()` looks for strangers.
final class SectionReader {
    let collector: IssueCollector
    /// Where the section starts; nil: it is not in the file.
    let mark: Mark?
    private let path: String
    private var entries: [String: YAMLNode.Entry] = [:]
    private var order: [String] = []
    private var keys: [String] = []

    init(_ node: YAMLNode?, path: String, collector: IssueCollector) {
        self.collector = collector
        self.path = path
        self.mark = node?.mark
        guard let node, !node.isNull else { return }
        guard case .mapping(let entries) = node.content else {
            let subject = path.isEmpty ? "the file" : "'\(path)'"
            collector.report(node.mark, "\(subject): a section of keys is expected, not \(node.kind)")
            return
        }
        for entry in entries {
            self.entries[entry.key] = entry
            order.append(entry.key)
        }
    }

    func fullPath(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The value of a key without asking for it.
    func peek(_ key: String) -> YAMLNode? { entries[key]?.value }

    /// The value of a key, or nil if it is not in the file.
    func take(_ key: String) -> YAMLNode? {
        keys.append(key)
        guard let entry = entries[key] else {
            collector.noteAbsent(fullPath(key))
            return nil
        }
        collector.note(fullPath(key), at: entry.value.mark)
        return entry.value
    }

    func reject(_ node: YAMLNode, _ key: String, _ expected: String) {
        collector.report(node.mark, "\(fullPath(key)): \(expected) is expected, not \(node.kind)")
    }

    /// Reports every key of the file that no read asked for.
    func finish() {
        for key in order where !keys.contains(key) {
            guard let entry = entries[key] else { continue }
            var text = "unknown key '\(fullPath(key))'"
            if let nearest = Nearest.of(key, among: keys) { text += ", did you mean '\(nearest)'?" }
            collector.report(entry.keyMark, text)
        }
    }

    func section(_ key: String, _ read: (SectionReader) -> Void) {
        let section = SectionReader(take(key), path: fullPath(key), collector: collector)
        read(section)
        section.finish()
    }

    /// The elements of a list with the path of each; nil if the key is absent.
    func list(_ key: String, of what: String) -> [(node: YAMLNode, path: String)]? {
        guard let node = take(key) else { return nil }
        if node.isNull { return [] }
        guard case .sequence(let nodes) = node.content else {
            reject(node, key, "a list of \(what)")
            return nil
        }
        return nodes.enumerated().map { (node: $1, path: "\(fullPath(key))[\($0)]") }
    }
}

/// The nearest of some words, for "did you mean".
enum Nearest {
    static func of(_ word: String, among candidates: [String]) -> String? {
        let allowed = max(2, word.utf8.count / 3)
        var best: (distance: Int, word: String)?
        for candidate in candidates {
            let distance = distance(Array(word.utf8.prefix(64)), Array(candidate.utf8.prefix(64)))
            if distance <= allowed && distance < best?.distance ?? .max { best = (distance: distance, word: candidate) }
        }
        return best?.word
    }

    /// Levenshtein's distance.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = i
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
