// SPDX-License-Identifier: Apache-2.0

/// A strict reader of OpenMetrics 1.0 text, after the specification and not after our writer.
struct OpenMetricsParser {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    struct Sample {
        let name: String
        let labels: [(name: String, value: String)]
        let value: Double

        subscript(_ label: String) -> String? { labels.first { $0.name == label }?.value }
    }

    struct Family {
        let name: String
        var type = "unknown"
        var help: String?
        var samples: [Sample] = []
    }

    private static let suffixes = [
        "counter": ["_total", "_created"], "gauge": [""], "info": ["_info"],
        "histogram": ["_bucket", "_count", "_sum", "_created"], "unknown": [""],
    ]

    static func parse(_ text: String) throws -> [Family] {
        guard text.hasSuffix("# EOF\n") else { throw Failure(description: "the end is not # EOF") }
        guard !text.contains("\r") else { throw Failure(description: "a carriage return") }
        var families: [Family] = []
        for line in text.dropLast("# EOF\n".count).split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            guard !line.isEmpty else { throw Failure(description: "an empty line") }
            if line.hasPrefix("#") { try metadata(line, &families) } else { try sample(line, &families) }
        }
        guard Set(families.map(\.name)).count == families.count else {
            throw Failure(description: "a family is there twice")
        }
        for family in families { try check(family) }
        return families
    }

    private static func metadata(_ line: Substring, _ families: inout [Family]) throws {
        let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 4, parts[0] == "#" else { throw Failure(description: "metadata: \(line)") }
        try checkName(parts[2], colons: true)
        if families.last?.name != parts[2] { families.append(Family(name: parts[2])) }
        guard families[families.count - 1].samples.isEmpty else { throw Failure(description: "late metadata: \(line)") }
        switch parts[1] {
        case "TYPE":
            guard suffixes[parts[3]] != nil else { throw Failure(description: "type: \(line)") }
            families[families.count - 1].type = parts[3]
        case "HELP": families[families.count - 1].help = parts[3]
        default: throw Failure(description: "metadata: \(line)")
        }
    }

    private static func sample(_ line: Substring, _ families: inout [Family]) throws {
        guard let family = families.last else { throw Failure(description: "a sample before its family: \(line)") }
        var rest = line
        let name = String(rest.prefix { $0 != "{" && $0 != " " })
        rest = rest.dropFirst(name.count)
        try checkName(name, colons: true)
        guard let allowed = suffixes[family.type], allowed.contains(where: { family.name + $0 == name }) else {
            throw Failure(description: "\(name) is no sample of the \(family.type) \(family.name)")
        }
        let labels = rest.hasPrefix("{") ? try self.labels(&rest) : []
        guard rest.hasPrefix(" "), let value = number(String(rest.dropFirst())) else {
            throw Failure(description: "value: \(line)")
        }
        families[families.count - 1].samples.append(Sample(name: name, labels: labels, value: value))
    }

    private static func labels(_ rest: inout Substring) throws -> [(name: String, value: String)] {
        var labels: [(name: String, value: String)] = []
        rest = rest.dropFirst()
        while true {
            let name = String(rest.prefix { $0 != "=" })
            try checkName(name, colons: false)
            rest = rest.dropFirst(name.count + 1)
            guard rest.popFirst() == "\"" else { throw Failure(description: "label \(name) has no quote") }
            var value = ""
            while let character = rest.popFirst(), character != "\"" {
                guard character == "\\" else {
                    value.append(character)
                    continue
                }
                switch rest.popFirst() {
                case "n": value.append("\n")
                case "\\": value.append("\\")
                case "\"": value.append("\"")
                default: throw Failure(description: "escape in label \(name)")
                }
            }
            guard !labels.contains(where: { $0.name == name }) else {
                throw Failure(description: "label \(name) twice")
            }
            labels.append((name: name, value: value))
            switch rest.popFirst() {
            case ",": continue
            case "}": return labels
            default: throw Failure(description: "after label \(name)")
            }
        }
    }

    private static func checkName(_ name: String, colons: Bool) throws {
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_" + (colons ? ":" : ""))
        guard let first = name.first, letters.contains(first),
            name.allSatisfy({ letters.contains($0) || ($0.isASCII && $0.isNumber) })
        else { throw Failure(description: "name '\(name)'") }
    }

    static func number(_ text: String) -> Double? {
        switch text {
        case "+Inf": return .infinity
        case "-Inf": return -.infinity
        case "NaN": return .nan
        default: return text.allSatisfy { "0123456789.eE+-".contains($0) } ? Double(text) : nil
        }
    }

    private static func check(_ family: Family) throws {
        guard family.help != nil else { throw Failure(description: "\(family.name) has no help") }
        let identities = family.samples.map { sample in
            sample.name
                + sample.labels.sorted { $0.name < $1.name }.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
        }
        guard Set(identities).count == identities.count else {
            throw Failure(description: "\(family.name): same sample")
        }
        if family.type == "counter", !family.samples.allSatisfy({ $0.value >= 0 && !$0.value.isNaN }) {
            throw Failure(description: "\(family.name): negative counter")
        }
        if family.type == "histogram" { try checkHistogram(family) }
    }

    private static func checkHistogram(_ family: Family) throws {
        let buckets = family.samples.filter { $0.name.hasSuffix("_bucket") }
        let groups = Dictionary(grouping: buckets) { bucket in
            bucket.labels.filter { $0.name != "le" }.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
        }
        for (group, buckets) in groups {
            let bounds = buckets.compactMap { $0["le"].flatMap(number) }
            let values = buckets.map(\.value)
            let isOrdered =
                zip(bounds, bounds.dropFirst()).allSatisfy(<) && zip(values, values.dropFirst()).allSatisfy(<=)
            guard bounds.count == buckets.count, bounds.last == .infinity, isOrdered else {
                throw Failure(description: "\(family.name){\(group)}: buckets")
            }
            let count = family.samples.first { sample in
                sample.name.hasSuffix("_count")
                    && sample.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",") == group
            }
            guard count?.value == values.last else { throw Failure(description: "\(family.name){\(group)}: count") }
        }
    }
}
