// SPDX-License-Identifier: Apache-2.0

import Daemon

/// What the SM counts.
struct SMMetrics: Sendable {
    let sessions: Gauge
    let brokenSessions: Gauge
    let users: Gauge
    let unacknowledgedBytes: Gauge
    let sessionsOpened: Counter
    let sessionsResumed: Counter
    let stanzasIn: Counter
    let stanzasOut: Counter
    let errorsSent: Counter
    let messagesStored: Counter

    init(_ registry: MetricsRegistry) {
        sessions = registry.gauge("jackdaw_sm_sessions", help: "Sessions, broken ones included.")
        brokenSessions = registry.gauge("jackdaw_sm_broken_sessions", help: "Sessions that wait for their resumption.")
        users = registry.gauge("jackdaw_sm_users", help: "Users in memory.")
        unacknowledgedBytes = registry.gauge(
            "jackdaw_sm_unacknowledged_bytes",
            help: "Bytes kept until clients acknowledge them."
        )
        sessionsOpened = registry.counter("jackdaw_sm_sessions_opened", help: "Sessions opened.")
        sessionsResumed = registry.counter("jackdaw_sm_sessions_resumed", help: "Sessions resumed.")
        stanzasIn = registry.counter("jackdaw_sm_stanzas_in", help: "Stanzas of local clients.")
        stanzasOut = registry.counter("jackdaw_sm_stanzas_out", help: "Stanzas for local clients.")
        errorsSent = registry.counter("jackdaw_sm_errors", help: "Stanza errors sent.")
        messagesStored = registry.counter("jackdaw_sm_messages_stored", help: "Messages stored for those away.")
    }
}
