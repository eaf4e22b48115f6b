// SPDX-License-Identifier: Apache-2.0

import Daemon

/// What C2S counts.
struct C2SMetrics {
    let connections: Gauge
    let sessions: Gauge
    let accepted: Counter
    let refused: Counter
    let evicted: Counter
    let handshakeFailures: Counter
    let logins: Counter
    let loginFailures: Counter
    let stanzasReceived: Counter
    let stanzasSent: Counter
    let bytesReceived: Counter
    let bytesSent: Counter
    let throttled: Counter
    let slowClients: Counter

    init(_ registry: MetricsRegistry) {
        connections = registry.gauge("jackdaw_c2s_connections", help: "Client connections.")
        sessions = registry.gauge("jackdaw_c2s_sessions", help: "Client sessions with a bound resource.")
        accepted = registry.counter("jackdaw_c2s_connections_accepted", help: "Connections that were accepted.")
        refused = registry.counter("jackdaw_c2s_connections_refused", help: "Connections beyond a limit.")
        evicted = registry.counter(
            "jackdaw_c2s_connections_evicted",
            help: "Connections that gave way to others before they logged in."
        )
        handshakeFailures = registry.counter(
            "jackdaw_c2s_tls_handshake_failures",
            help: "TLS handshakes that failed."
        )
        logins = registry.counter("jackdaw_c2s_logins", help: "Logins that succeeded.")
        loginFailures = registry.counter("jackdaw_c2s_login_failures", help: "Logins that failed.")
        stanzasReceived = registry.counter("jackdaw_c2s_stanzas_received", help: "Stanzas from clients.")
        stanzasSent = registry.counter("jackdaw_c2s_stanzas_sent", help: "Stanzas to clients.")
        bytesReceived = registry.counter("jackdaw_c2s_received_bytes", help: "Bytes of streams from clients.")
        bytesSent = registry.counter("jackdaw_c2s_sent_bytes", help: "Bytes of streams to clients.")
        throttled = registry.counter("jackdaw_c2s_throttled", help: "Pauses for clients that sent too fast.")
        slowClients = registry.counter("jackdaw_c2s_slow_clients", help: "Clients dropped since they did not read.")
    }
}
