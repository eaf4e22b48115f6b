// SPDX-License-Identifier: Apache-2.0

import Config
import NIOCore
import Testing

@testable import Daemon

@Suite struct MetricsTests {
    static func text(_ registry: MetricsRegistry) -> String {
        var buffer = ByteBuffer()
        OpenMetricsText.write(registry, to: &buffer)
        return String(buffer: buffer)
    }

    @Test func emptyRegistryIsValid() throws {
        #expect(Self.text(MetricsRegistry()) == "# EOF\n")
    }

    @Test func everyKindSatisfiesAStrictParser() throws {
        let registry = MetricsRegistry()
        registry.counter("jackdaw_stanzas", help: "With \"quotes\", \\ and\nlines.", labels: ["kind": "a\"b\\c\nd"])
            .increment(by: 3)
        registry.counter("jackdaw_stanzas", help: "x", labels: ["kind": "iq"]).increment()
        registry.gauge("jackdaw_sessions", help: "Sessions.").set(-2)
        registry.computedGauge("jackdaw_ratio", help: "Ratio.") { .nan }
        registry.computedCounter("jackdaw_seconds", help: "Seconds.") { 1e-7 }
        registry.info("jackdaw_build", help: "Build.", labels: ["version": "1"])
        let latency = registry.histogram("jackdaw_latency_seconds", help: "Latency.", labels: ["op": "read"])
        for duration in [Duration.zero, .microseconds(100), .microseconds(101), .seconds(11), .seconds(Int64.max)] {
            latency.observe(duration)
        }
        registry.histogram("jackdaw_batch", help: "Batches.", counts: [1, 10]).observe(10)
        ProcessMetrics.register(in: registry, instance: InstanceName(kind: .sm))

        let families = try OpenMetricsParser.parse(Self.text(registry))
        let samples = families.flatMap(\.samples)
        let stanzas = families.first { $0.name == "jackdaw_stanzas" }
        #expect(stanzas?.samples.first?["kind"] == "a\"b\\c\nd")
        #expect(stanzas?.samples.map(\.value) == [3, 1])
        #expect(samples.first { $0.name == "jackdaw_sessions" }?.value == -2)
        #expect(samples.first { $0.name == "jackdaw_ratio" }?.value.isNaN == true)
        #expect(samples.first { $0.name == "jackdaw_seconds_total" }?.value == 1e-7)
        let buckets = samples.filter { $0.name == "jackdaw_latency_seconds_bucket" }
        #expect(buckets.first?.value == 2)
        #expect(buckets.last?.value == 5)
        #expect(samples.filter { $0.name == "jackdaw_batch_bucket" }.map(\.value) == [0, 1, 1])
        #expect(samples.first { $0.name == "process_resident_memory_bytes" }.map { $0.value > 100_000 } == true)
        #expect(samples.first { $0.name == "process_open_fds" }.map { $0.value >= 3 } == true)
        #expect(samples.first { $0.name == "process_cpu_seconds_total" }.map { $0.value > 0 } == true)
    }

    @Test func sameNameAndLabelsAreTheSameMetric() {
        let registry = MetricsRegistry()
        registry.counter("a", help: "a", labels: ["x": "1"]).increment()
        registry.counter("a", help: "a", labels: ["x": "1"]).increment()
        registry.counter("a", help: "a", labels: ["x": "2"]).increment()
        #expect(registry.counter("a", help: "a", labels: ["x": "1"]).value == 2)
    }

    @Test(arguments: [
        "", "# EOF", "a 1\n# EOF\n", "# TYPE a counter\n# HELP a b\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a b\na 1\na 2\n# EOF\n", "# TYPE a gauge\n# HELP a b\na{x=\"1} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a b\na one\n# EOF\n", "# TYPE a gauge\n\n# EOF\n", "# TYPE a gauge\na 1\n# EOF\n",
        "# TYPE a histogram\n# HELP a b\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n",
    ])
    func strictParserRefusesWhatIsWrong(_ text: String) {
        #expect(throws: OpenMetricsParser.Failure.self) { _ = try OpenMetricsParser.parse(text) }
    }
}

@Suite struct ReadinessTests {
    @Test func readyMeansThatEveryConditionHolds() {
        let readiness = Readiness()
        #expect(readiness.isReady)
        readiness.require("database")
        readiness.require("router", reason: "connecting")
        readiness.met("database")
        #expect(!readiness.isReady)
        readiness.met("router")
        #expect(readiness.isReady)
        readiness.unmet("database", reason: "away")
        #expect(readiness.conditions.map(\.reason) == ["away", ""])
    }

    @Test func statusTellsWhatIsMissing() {
        let readiness = Readiness()
        let status = ProcessStatus(instance: InstanceName(kind: .c2s, number: 2), readiness: readiness)
        readiness.require("router", reason: "connecting")
        status.sessions = 7
        status.set("queue", "3")
        status.set("queue", "4")
        let fields = Dictionary(uniqueKeysWithValues: status.fields().map { ($0.name, $0.value) })
        #expect(fields["instance"] == "c2s-2")
        #expect(fields["sessions"] == "7")
        #expect(fields["connected"] == "false")
        #expect(fields["waiting_for"] == "router: connecting")
        #expect(fields["queue"] == "4")
        let json = JSONText.encode(status.json)
        #expect(json.contains("\"sessions\":7,\"ready\":false,"))
    }
}
