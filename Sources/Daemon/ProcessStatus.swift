// SPDX-License-Identifier: Apache-2.0

package import Config
import Glibc
import NIOCore
import Synchronization

/// The answer to `status`: who this process is and how it does; any thread may write, any may read.
///
/// The fields are those of `jackdawctl status`, of `scripts/supervisor status` and of `/status`.
package final class ProcessStatus: Sendable {
    private struct State {
        var isConnected = false
        var sessions = 0
        var sessionGauge: Gauge?
        var httpPort = 0
        var extra: [(name: String, value: String)] = []
    }

    private let instance: InstanceName
    private let readiness: Readiness
    private let started = NIODeadline.now()
    private let state = Mutex(State())

    package init(instance: InstanceName, readiness: Readiness) {
        self.instance = instance
        self.readiness = readiness
    }

    /// Whether the link to the router is up; for the router: whether it listens.
    package var isConnected: Bool {
        get { state.withLock { $0.isConnected } }
        set { state.withLock { $0.isConnected = newValue } }
    }

    /// Client sessions (C2S: connections after login, SM: sessions, router: bound components).
    package var sessions: Int {
        get { state.withLock { $0.sessionGauge?.value ?? $0.sessions } }
        set { state.withLock { $0.sessions = newValue } }
    }

    /// Lets a metric give the number of sessions.
    package func countSessions(by gauge: Gauge) {
        state.withLock { $0.sessionGauge = gauge }
    }

    package var httpPort: Int {
        get { state.withLock { $0.httpPort } }
        set { state.withLock { $0.httpPort = newValue } }
    }

    /// Adds or replaces a field of the process's own.
    package func set(_ name: String, _ value: String) {
        state.withLock { state in
            if let index = state.extra.firstIndex(where: { $0.name == name }) {
                state.extra[index].value = value
            } else {
                state.extra.append((name: name, value: value))
            }
        }
    }

    package var uptime: Duration { Duration(NIODeadline.now() - started) }

    /// The fields, in order, as text.
    package func fields() -> [(name: String, value: String)] {
        let state = state.withLock { $0 }
        let unmet = readiness.conditions.filter { !$0.isMet }.map { "\($0.name): \($0.reason)" }
        var fields = [
            (name: "process", value: instance.kind.rawValue),
            (name: "instance", value: instance.description),
            (name: "pid", value: String(getpid())),
            (name: "uptime", value: String(uptime.components.seconds)),
            (name: "connected", value: String(state.isConnected)),
            (name: "sessions", value: String(sessions)),
            (name: "ready", value: String(unmet.isEmpty)),
            (name: "http_port", value: String(state.httpPort)),
            (name: "version", value: BuildInformation.version),
        ]
        if !unmet.isEmpty { fields.append((name: "waiting_for", value: unmet.joined(separator: "; "))) }
        return fields + state.extra
    }

    /// The same fields for machines: numbers and truth values as such.
    package var json: JSONText.Value {
        .object(fields().map { JSONText.Member($0.name, Self.typed($0.name, $0.value)) })
    }

    /// The type of a field's text.
    package static func typed(_ name: String, _ value: String) -> JSONText.Value {
        switch name {
        case "pid", "uptime", "sessions", "http_port": Int(value).map { .integer($0) } ?? .text(value)
        case "connected", "ready": .boolean(value == "true")
        default: .text(value)
        }
    }
}
