// SPDX-License-Identifier: Apache-2.0

import Daemon

/// What S2S counts.
struct S2SMetrics {
    let queuedBytes: Gauge
    let authenticated: Counter
    let failures: Counter
    let handshakeFailures: Counter
    let refused: Counter
    let stanzasReceived: Counter
    let stanzasSent: Counter
    let bounced: Counter
    let bytesReceived: Counter
    let bytesSent: Counter

    init(_ registry: MetricsRegistry) {
        queuedBytes = registry.gauge("jackdaw_s2s_queued_bytes", help: "What waits for links to other servers.")
        authenticated = registry.counter("jackdaw_s2s_authenticated", help: "Pairs of domains that were proved.")
        failures = registry.counter("jackdaw_s2s_failures", help: "Tries to link to a domain that failed.")
        handshakeFailures = registry.counter("jackdaw_s2s_handshake_failures", help: "TLS handshakes that failed.")
        refused = registry.counter("jackdaw_s2s_connections_refused", help: "Connections beyond a limit.")
        stanzasReceived = registry.counter("jackdaw_s2s_stanzas_received", help: "Stanzas of other servers.")
        stanzasSent = registry.counter("jackdaw_s2s_stanzas_sent", help: "Stanzas to other servers.")
        bounced = registry.counter("jackdaw_s2s_stanzas_bounced", help: "Stanzas that could not be sent.")
        bytesReceived = registry.counter("jackdaw_s2s_received_bytes", help: "Bytes from other servers, without TLS.")
        bytesSent = registry.counter("jackdaw_s2s_sent_bytes", help: "Bytes to other servers, without TLS.")
    }
}
