// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The edge towards other servers: streams in both directions, dialback, certificates, the operator's rules.
///
/// - Speaks to: servers that connect on `s2s.listeners`, and those that it connects to; DNS; SM through the router.
/// - Protocols: RFC 6120, XEP-0178, XEP-0198, XEP-0220, XEP-0288, XEP-0368, RFC 7673; towards SM `docs/protocols.md`,
///   section 5.
/// - Privileges: reads certificates with their keys and its two secrets.
/// - Diagnostics: info a line for each pair of domains that is proved; notice for each stream that is refused or fails, with
///   the reason; error when a certificate cannot be read. Ends with 69 where it cannot listen, with 78 where a secret or
///   a certificate cannot be read at the start.
struct S2SService: Service {
    private let context: DaemonContext
    private let runtime: NIOLoopBound<S2SRuntime>
    private let listeners: [any Channel]

    /// Makes everything and binds the ports.
    static func start(_ context: DaemonContext) async throws -> S2SService {
        let secrets: S2SSecrets
        do {
            secrets = try S2SSecrets(context.configuration)
        } catch {
            throw DaemonFailure(.configuration, "\(error)")
        }
        let runtime = try await context.eventLoop.submit {
            do {
                let runtime = try S2SRuntime(context, secrets: secrets)
                runtime.start()
                return NIOLoopBound(runtime, eventLoop: context.eventLoop)
            } catch {
                throw DaemonFailure(.configuration, "\(error)")
            }
        }.get()
        let listeners = try await context.listen(on: context.configuration.s2s.listeners) { bootstrap, listener in
            S2SListener.prepare(bootstrap, listener, runtime: runtime)
        }
        return S2SService(context: context, runtime: runtime, listeners: listeners)
    }

    /// Runs until the process is asked to stop; then ends all streams.
    func run() async throws {
        try? await gracefulShutdown()
        self.context.readiness.unmet("listeners", reason: "stopping")
        for listener in self.listeners { try? await listener.close() }
        let runtime = self.runtime
        try await self.context.eventLoop.flatSubmit { runtime.value.stop() }.get()
    }
}

/// What must be secret: read at the start, before the loop runs.
struct S2SSecrets: Sendable {
    /// What is proved to the router.
    let link: Secret
    /// What dialback keys are made of.
    let dialback: Secret

    init(_ configuration: JackdawConfiguration) throws(SecretFileError) {
        link = try Secret.load(file: configuration.secrets.s2s)
        dialback = try Secret.load(file: configuration.secrets.dialback)
    }
}
