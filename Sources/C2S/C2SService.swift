// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The client edge: sockets, TLS, logins, and the sessions that SM owns.
///
/// - Speaks to: clients on `c2s.listeners`; SM through the router; PostgreSQL for credentials.
/// - Protocols: RFC 6120, XEP-0198, XEP-0368; towards SM `docs/protocols.md`, section 2.
/// - Privileges: reads certificates with their keys and its two secrets; a database role that reads credentials only.
/// - Diagnostics: info a line for each login, good or failed, and each client that is given up; warning when SM or the
///   database is out of reach; error when a certificate cannot be read or no more connections accepted. Ends with 69
///   where it cannot listen, with 78 where a secret or a certificate cannot be read at the start.
struct C2SService: Service {
    private let context: DaemonContext
    private let runtime: NIOLoopBound<C2SRuntime>
    private let listeners: [any Channel]

    /// Makes everything and binds the ports.
    static func start(_ context: DaemonContext) async throws -> C2SService {
        let secrets: C2SSecrets
        do {
            secrets = try C2SSecrets(context.configuration)
        } catch {
            throw DaemonFailure(.configuration, "\(error)")
        }
        let runtime = try await context.eventLoop.submit {
            do {
                let runtime = try C2SRuntime(context, secrets: secrets)
                runtime.start()
                return NIOLoopBound(runtime, eventLoop: context.eventLoop)
            } catch {
                throw DaemonFailure(.configuration, "\(error)")
            }
        }.get()
        let listeners = try await context.listen(on: context.configuration.c2s.listeners) { bootstrap, listener in
            C2SListener.prepare(bootstrap, listener, runtime: runtime, logger: context.logger)
        }
        return C2SService(context: context, runtime: runtime, listeners: listeners)
    }

    /// Runs until the process is asked to stop; then tells all clients, and stops when they are gone or in
    /// `timeouts.drain`.
    func run() async throws {
        let runtime = runtime
        let failure = try await context.eventLoop.submit { runtime.value.fatalFailure.futureResult }.get()
        let stop = context.eventLoop.makePromise(of: Void.self)
        failure.cascadeFailure(to: stop)
        try await withGracefulShutdownHandler {
            try await stop.futureResult.get()
        } onGracefulShutdown: {
            stop.succeed()
        }
        context.readiness.unmet("listeners", reason: "stopping")
        for listener in listeners { try? await listener.close() }
        try await context.eventLoop.flatSubmit { runtime.value.stop() }.get()
    }
}

/// What must be secret: read at the start, before the loop runs.
struct C2SSecrets: Sendable {
    /// What is proved to the router.
    let link: Secret
    /// The key of the salts that unknown users are shown.
    let fakeSalt: Secret

    init(_ configuration: JackdawConfiguration) throws(SecretFileError) {
        link = try Secret.load(file: configuration.secrets.c2s)
        fakeSalt = try Secret.load(file: configuration.secrets.fakeSalt)
    }
}
