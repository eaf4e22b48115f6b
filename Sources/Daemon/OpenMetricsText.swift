// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Writes the metrics as OpenMetrics 1.0 text.
package enum OpenMetricsText {
    package static let contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    package static func write(_ registry: MetricsRegistry, to buffer: inout ByteBuffer) {
        for family in registry.snapshot() {
            buffer.writeString("# TYPE \(family.name) \(family.kind.rawValue)\n")
            buffer.writeString("# HELP \(family.name) \(escape(family.help))\n")
            for metric in family.metrics {
                write(family, metric.labels, metric.source, to: &buffer)
            }
        }
        buffer.writeString("# EOF\n")
    }

    private static func write(
        _ family: MetricsRegistry.Family,
        _ labels: [(name: String, value: String)],
        _ source: MetricsRegistry.Source,
        to buffer: inout ByteBuffer
    ) {
        let plain = family.kind == .counter ? "\(family.name)_total" : family.name
        switch source {
        case .counter(let counter): sample(plain, labels, String(counter.value), to: &buffer)
        case .gauge(let gauge): sample(plain, labels, String(gauge.value), to: &buffer)
        case .computed(let value): sample(plain, labels, number(value()), to: &buffer)
        case .info: sample("\(family.name)_info", labels, "1", to: &buffer)
        case .histogram(let histogram): write(histogram, family.name, labels, to: &buffer)
        }
    }

    private static func write(
        _ histogram: Histogram,
        _ name: String,
        _ labels: [(name: String, value: String)],
        to buffer: inout ByteBuffer
    ) {
        let (counts, sum) = histogram.snapshot
        let scale = histogram.unit == .seconds ? 1e-9 : 1
        var total = 0
        for (index, count) in counts.enumerated() {
            total &+= count
            let isLast = index >= histogram.bounds.count
            let bound = isLast ? "+Inf" : number(Double(histogram.bounds[index]) * scale)
            sample("\(name)_bucket", labels + [(name: "le", value: bound)], String(total), to: &buffer)
        }
        sample("\(name)_count", labels, String(total), to: &buffer)
        sample("\(name)_sum", labels, number(Double(sum) * scale), to: &buffer)
    }

    private static func sample(
        _ name: String,
        _ labels: [(name: String, value: String)],
        _ value: String,
        to buffer: inout ByteBuffer
    ) {
        buffer.writeString(name)
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.name)=\"\(escape($0.value))\"" }
            buffer.writeString("{" + pairs.joined(separator: ",") + "}")
        }
        buffer.writeString(" \(value)\n")
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value.description
    }

    static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
