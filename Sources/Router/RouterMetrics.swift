// SPDX-License-Identifier: Apache-2.0

import Daemon

/// What the router counts.
struct RouterMetrics: Sendable {
    /// Why a stanza bounced.
    enum Bounce: String, CaseIterable {
        /// No such domain is known.
        case unknown
        /// The domain's component is not connected.
        case absent
        /// The queue of the component is full.
        case full
    }

    let stanzas: Counter
    let wrappers: Counter
    let bytes: Counter
    let returned: Counter
    let hops: Counter
    let streamErrors: Counter
    let connections: Counter
    let resets: Counter
    let internalLinks: Gauge
    let externalLinks: Gauge
    private let unknown: Counter
    private let absent: Counter
    private let full: Counter

    init(_ registry: MetricsRegistry) {
        self.stanzas = registry.counter("jackdaw_router_stanzas", help: "Stanzas forwarded outside of wrappers")
        self.wrappers = registry.counter("jackdaw_router_wrappers", help: "Wrappers forwarded between instances")
        self.bytes = registry.counter("jackdaw_router_bytes", help: "Bytes of what was forwarded")
        self.returned = registry.counter("jackdaw_router_wrappers_returned", help: "Wrappers that found no instance")
        self.hops = registry.counter("jackdaw_router_hops", help: "Stanzas forwarded to a component of another router")
        self.streamErrors = registry.counter("jackdaw_router_stream_errors", help: "Streams ended with an error")
        self.connections = registry.counter("jackdaw_router_connections", help: "Connections accepted")
        self.resets = registry.counter("jackdaw_router_resets", help: "Links reset since their queue was full or stuck")
        self.internalLinks = registry.gauge("jackdaw_router_links", help: "Bound links", labels: ["kind": "internal"])
        self.externalLinks = registry.gauge("jackdaw_router_links", help: "Bound links", labels: ["kind": "external"])
        func bounces(_ bounce: Bounce) -> Counter {
            registry.counter("jackdaw_router_bounces", help: "Stanzas bounced", labels: ["reason": bounce.rawValue])
        }
        self.unknown = bounces(.unknown)
        self.absent = bounces(.absent)
        self.full = bounces(.full)
    }

    func bounced(_ bounce: Bounce) {
        switch bounce {
        case .unknown: self.unknown.increment()
        case .absent: self.absent.increment()
        case .full: self.full.increment()
        }
    }
}
