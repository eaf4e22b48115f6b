// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import SASL
import ServiceLifecycle
import Storage

/// The session manager: users, sessions, rosters, presence, and messages for those who are away.
///
/// - Speaks to: the router, as the holder of every hosted domain; PostgreSQL, as the owner of the schema.
/// - Protocols: RFC 6121; `docs/protocols.md`, sections 2 and 3.
/// - Privileges: the secret of its link; the database role that owns the data.
/// - Diagnostics: debug a line for each stanza and session; warning when the database or the link is away; error when
///   a row cannot be read. Ends with 69 where the schema is newer than it knows, and with 78 where the secret cannot
///   be read.
struct SMService: Service {
    private let context: DaemonContext
    private let parts: NIOLoopBound<Parts>
    private let database: DatabaseConfiguration

    /// What lives on the event loop.
    private struct Parts {
        let link: InstanceLink
        let database: Database
        let server: SMServer
        let accounts: Accounts
        let membership: Membership
    }

    static func start(_ context: DaemonContext) async throws -> SMService {
        context.readiness.require("database")
        context.readiness.require("router")
        let secret = try secret(context.configuration)
        let database = databaseConfiguration(context)
        let parts = try await context.eventLoop.submit {
            NIOLoopBound(makeParts(context, secret: secret, database), eventLoop: context.eventLoop)
        }.get()
        return SMService(context: context, parts: parts, database: database)
    }

    /// Brings the schema up to date, then serves until the process is asked to stop.
    func run() async throws {
        guard try await migrate() else { return }
        let parts = parts
        context.onReload { configuration in
            parts.value.server.reload(configuration)
            parts.value.link.reload(configuration)
        }
        try await context.eventLoop.submit {
            parts.value.database.start()
            parts.value.server.start()
            parts.value.server.awaitFederation()
            parts.value.link.start()
            parts.value.membership.start()
        }.get()
        try? await gracefulShutdown()
        try await stop()
    }

    /// False when the process was asked to stop before the database answered.
    private func migrate() async throws -> Bool {
        let promise = context.eventLoop.makePromise(of: Bool.self)
        Migrator.migrate(database, on: context.eventLoop, logger: context.logger).map { _ in true }.cascade(to: promise)
        do {
            return try await withGracefulShutdownHandler {
                try await promise.futureResult.get()
            } onGracefulShutdown: {
                promise.succeed(false)
            }
        } catch {
            throw DaemonFailure(.unavailable, "\(error)")
        }
    }

    /// What is in memory only goes to the database and the users to other instances, then everything ends.
    private func stop() async throws {
        context.readiness.unmet("router", reason: "stopping")
        let parts = parts
        try await context.eventLoop.flatSubmit { parts.value.membership.leave() }.get()
        try await context.eventLoop.flatSubmit { parts.value.link.stop() }.get()
        try await context.eventLoop.flatSubmit { parts.value.database.shutdown() }.get()
    }

    private static func secret(_ configuration: JackdawConfiguration) throws -> Secret {
        do throws(SecretFileError) {
            return try Secret.load(file: configuration.secrets.sm)
        } catch {
            throw DaemonFailure(.configuration, "\(error)")
        }
    }

    private static func databaseConfiguration(_ context: DaemonContext) -> DatabaseConfiguration {
        let section = context.configuration.database
        var database = DatabaseConfiguration(
            url: context.configuration.smDatabase.revealed,
            applicationName: DatabaseConfiguration.applicationName(
                instance: context.instance.description,
                incarnation: context.epoch
            )
        )
        database.readConnections = section.readConnections
        database.writeConnections = section.writeConnections
        database.connectTimeout = TimeAmount(section.connectTimeout)
        database.statementTimeout = TimeAmount(section.statementTimeout)
        database.longestRetryDelay = TimeAmount(section.reconnectDelayMaximum)
        database.queuedRequests = section.queueLength
        return database
    }

    private static func makeParts(
        _ context: DaemonContext,
        secret: Secret,
        _ databaseConfiguration: DatabaseConfiguration
    ) -> Parts {
        let database = Database(
            configuration: databaseConfiguration,
            eventLoop: context.eventLoop,
            logger: context.logger
        )
        let domains = context.configuration.domains.map(\.name)
        let link = InstanceLink(context, secret: secret, names: domains)
        let server = SMServer(
            configuration: context.configuration,
            eventLoop: context.eventLoop,
            link: link,
            stores: Stores(database),
            metrics: SMMetrics(context.metrics),
            logger: context.logger,
            now: { WallClock.microseconds() }
        )
        let accounts = Accounts(server) { [unowned server] password in
            let iterations = server.configuration.sasl.iterations
            return context.threadPool.runIfActive(eventLoop: context.eventLoop) {
                try Accounts.credentials(of: password, iterations: iterations)
            }
        }
        server.accounts = accounts
        let responder = AdminResponder(eventLoop: context.eventLoop) { context.status.fields() }
        AdministrationCommands(server, accounts).register(at: responder)
        link.responder = responder
        link.delegate = server
        watch(database, server, context)
        publishCustody(of: server, context)
        let membership = Membership(
            server,
            main: database,
            configuration: databaseConfiguration,
            name: link.name,
            context: context
        )
        return Parts(link: link, database: database, server: server, accounts: accounts, membership: membership)
    }

    private static func publishCustody(of server: SMServer, _ context: DaemonContext) {
        let bound = NIOLoopBound(server, eventLoop: context.eventLoop)
        context.metrics.computedGauge(
            "jackdaw_sm_oldest_unstored_message_age_seconds",
            help: "The age of the oldest message that no client acknowledged and that is in memory only."
        ) {
            let server = bound.value
            return server.oldestUnstored.map { Double(server.now() - $0) / 1_000_000 } ?? 0
        }
    }

    private static func watch(_ database: Database, _ server: SMServer, _ context: DaemonContext) {
        database.onAvailabilityChange { isAvailable in
            if isAvailable {
                context.readiness.met("database")
                context.logger.notice("the database is there")
            } else {
                context.readiness.unmet("database", reason: "no connection")
                context.logger.error("the database is away: messages for those away are refused")
            }
        }
        server.whenLinkChanged = { isUp in
            context.status.isConnected = isUp
            if isUp {
                context.readiness.met("router")
            } else {
                context.readiness.unmet("router", reason: "no link")
            }
        }
        server.whenSessionsChanged = { context.status.sessions = $0 }
    }

    /// What `--check` finds: a secret that cannot be read, a database that cannot be used.
    static func check(_ context: DaemonContext) async -> [CheckFinding] {
        var findings: [CheckFinding] = []
        do throws(SecretFileError) {
            _ = try Secret.load(file: context.configuration.secrets.sm)
            findings.append(CheckFinding(.ok, "secret of sm", context.configuration.secrets.sm))
        } catch {
            findings.append(CheckFinding(.error, "secret of sm", "\(error)"))
        }
        let probe = DatabaseProbe.ask(databaseConfiguration(context), for: .everything, on: context.eventLoop)
        if let answer = try? await probe.get() {
            findings.append(CheckFinding(answer.isUsable ? .ok : .error, "database", answer.description))
        }
        return findings
    }
}
