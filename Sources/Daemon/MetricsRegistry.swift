// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The metrics of a process, written as OpenMetrics text; any thread.
///
/// Asking again for the same name and labels gives the same metric. Names have no `_total`: a counter's
/// sample gets it when it is written, as the format wants.
package final class MetricsRegistry: Sendable {
    enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
        case info
    }

    enum Source: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        /// Computed when the metrics are read.
        case computed(@Sendable () -> Double)
        case info
    }

    struct Family: Sendable {
        let name: String
        let kind: Kind
        let help: String
        var metrics: [(labels: [(name: String, value: String)], source: Source)] = []
    }

    private let families = Mutex<[Family]>([])

    package init() {}

    package func counter(_ name: String, help: String, labels: KeyValuePairs<String, String> = [:]) -> Counter {
        let source = register(name, .counter, help, labels) { .counter(Counter()) }
        guard case .counter(let counter) = source else { preconditionFailure("\(name) is no plain counter") }
        return counter
    }

    package func gauge(_ name: String, help: String, labels: KeyValuePairs<String, String> = [:]) -> Gauge {
        let source = register(name, .gauge, help, labels) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = source else { preconditionFailure("\(name) is no plain gauge") }
        return gauge
    }

    package func histogram(
        _ name: String,
        help: String,
        labels: KeyValuePairs<String, String> = [:],
        durations: [Duration] = Histogram.latencies
    ) -> Histogram {
        let source = register(name, .histogram, help, labels) { .histogram(Histogram(durations: durations)) }
        guard case .histogram(let histogram) = source else { preconditionFailure("\(name) is no histogram") }
        return histogram
    }

    package func histogram(
        _ name: String,
        help: String,
        labels: KeyValuePairs<String, String> = [:],
        counts: [Int]
    ) -> Histogram {
        let source = register(name, .histogram, help, labels) { .histogram(Histogram(unit: .count, bounds: counts)) }
        guard case .histogram(let histogram) = source else { preconditionFailure("\(name) is no histogram") }
        return histogram
    }

    /// A gauge whose value is computed, on the event loop, when it is read.
    package func computedGauge(
        _ name: String,
        help: String,
        labels: KeyValuePairs<String, String> = [:],
        _ value: @escaping @Sendable () -> Double
    ) {
        _ = register(name, .gauge, help, labels) { .computed(value) }
    }

    /// A counter whose value is computed, on the event loop, when it is read.
    package func computedCounter(
        _ name: String,
        help: String,
        labels: KeyValuePairs<String, String> = [:],
        _ value: @escaping @Sendable () -> Double
    ) {
        _ = register(name, .counter, help, labels) { .computed(value) }
    }

    /// Facts in labels, always 1.
    package func info(_ name: String, help: String, labels: KeyValuePairs<String, String>) {
        _ = register(name, .info, help, labels) { .info }
    }

    func snapshot() -> [Family] {
        families.withLock { $0 }
    }

    private func register(
        _ name: String,
        _ kind: Kind,
        _ help: String,
        _ labels: KeyValuePairs<String, String>,
        make: () -> Source
    ) -> Source {
        let labels = labels.map { (name: $0.key, value: $0.value) }
        return families.withLock { families in
            let index = families.firstIndex { $0.name == name } ?? families.endIndex
            if index == families.endIndex { families.append(Family(name: name, kind: kind, help: help)) }
            precondition(families[index].kind == kind, "\(name) is registered as another kind")
            let known = families[index].metrics.first { metric in
                metric.labels.elementsEqual(labels) { $0.name == $1.name && $0.value == $1.value }
            }
            if let known { return known.source }
            let source = make()
            families[index].metrics.append((labels: labels, source: source))
            return source
        }
    }
}
