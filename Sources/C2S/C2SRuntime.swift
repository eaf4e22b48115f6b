// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Glibc
import Logging
import NIOCore
import NIOPosix
import SASL
import Storage
import TLS
import XML
import XMPPCore

/// The parts of the process that live on its event loop, and what ties them: link, database, certificates, clocks.
final class C2SRuntime {
    let hub: C2SHub
    /// Fails when the process must end.
    let fatalFailure: EventLoopPromise<Void>

    private let context: DaemonContext
    private let link: InstanceLink
    private let database: Database
    private var certificateTimer: RepeatedTask?
    private var lookTimer: RepeatedTask?
    private var ownerTimer: RepeatedTask?
    /// How often connections are looked after; short against every timeout.
    private static let lookInterval = TimeAmount.seconds(5)

    init(_ context: DaemonContext, secrets: C2SSecrets) throws(TLSError) {
        let eventLoop = context.eventLoop
        let configuration = context.configuration
        self.context = context
        fatalFailure = eventLoop.makePromise()
        let database = Database(
            configuration: Self.databaseConfiguration(context),
            eventLoop: eventLoop,
            logger: context.logger
        )
        self.database = database
        let reader = CredentialReader(database)
        let link = InstanceLink(context, secret: secrets.link)
        self.link = link
        let threadPool = context.threadPool
        let metrics = C2SMetrics(context.metrics)
        context.status.countSessions(by: metrics.sessions)
        hub = C2SHub(
            configuration: C2SConfiguration(configuration),
            serverSecret: Array(secrets.fakeSalt.revealed.utf8),
            services: C2SHub.Services(
                send: { link.send($0, to: $1) },
                forward: { link.send($0) },
                name: link.name,
                queuedBytes: { link.queuedBytes + link.keptBytes },
                credentials: { user in
                    reader.credentials(local: user.local ?? "", domain: user.domain).map { rows in
                        rows.compactMap(SCRAMCredentials.init)
                    }
                },
                compute: { body in threadPool.runIfActive(eventLoop: eventLoop, body) }
            ),
            metrics: metrics,
            eventLoop: eventLoop,
            logger: context.logger
        )
        hub.tlsContexts = [
            .startTLS: try TLSContext(server: configuration.tlsServer(alpn: [])),
            .direct: try TLSContext(server: configuration.tlsServer(alpn: ["xmpp-client"])),
        ]
        link.delegate = self
        hub.whenMapChanged = { [unowned self] in updateReadiness() }
        link.responder = AdminResponder(eventLoop: eventLoop) { [context] in context.status.fields() }
    }

    /// Connects to the router and the database and starts the clocks.
    func start() {
        context.readiness.require("router", reason: "not connected")
        context.readiness.require("sm", reason: "not connected")
        context.readiness.require("database", reason: "not connected")
        database.onAvailabilityChange { [readiness = context.readiness] isAvailable in
            if isAvailable { readiness.met("database") } else { readiness.unmet("database", reason: "away") }
        }
        database.start()
        database.waitForSchema().assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.context.readiness.met("database")
            case .failure(let error): self.fatalFailure.fail(DaemonFailure(.unavailable, "\(error)"))
            }
        }
        link.start()
        startClocks()
        let runtime = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.onReload { configuration in runtime.value.reload(configuration) }
        publishCertificates()
    }

    private func startClocks() {
        let loop = context.eventLoop
        let runtime = NIOLoopBound(self, eventLoop: loop)
        lookTimer = loop.scheduleRepeatedTask(initialDelay: Self.lookInterval, delay: Self.lookInterval) { _ in
            runtime.value.hub.look(now: .now())
        }
        ownerTimer = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            runtime.value.hub.askForOwners()
        }
        startCertificateClock(every: context.configuration.tls.reloadInterval)
    }

    private func startCertificateClock(every duration: Duration) {
        certificateTimer?.cancel()
        let interval = TimeAmount(duration)
        let runtime = NIOLoopBound(self, eventLoop: context.eventLoop)
        certificateTimer = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            runtime.value.reloadCertificates { try $0.reloadIfChanged() }
        }
    }

    /// SIGHUP: everything but what `JackdawConfiguration.renewed` keeps.
    private func reload(_ configuration: JackdawConfiguration) {
        hub.reload(C2SConfiguration(configuration))
        link.reload(configuration)
        startCertificateClock(every: configuration.tls.reloadInterval)
        do {
            hub.tlsContexts = [
                .startTLS: try TLSContext(server: configuration.tlsServer(alpn: [])),
                .direct: try TLSContext(server: configuration.tlsServer(alpn: ["xmpp-client"])),
            ]
            context.logger.info("configuration and certificates reloaded")
        } catch {
            context.logger.error("certificates not reloaded", metadata: ["reason": "\(error)"])
        }
        publishCertificates()
    }

    /// Certificate files are small and local: to read them on the loop takes less than a millisecond.
    private func reloadCertificates(_ body: (TLSContext) throws -> Bool) {
        for tlsContext in hub.tlsContexts.values {
            do {
                guard try body(tlsContext) else { continue }
                context.logger.info("new certificates are in use")
                publishCertificates()
            } catch {
                context.logger.error("certificates not reloaded", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func publishCertificates() {
        for domain in hub.configuration.domains {
            guard let info = hub.tlsContext(.startTLS)?.certificate(for: domain) else { continue }
            context.metrics.gauge(
                "jackdaw_c2s_certificate_not_after_seconds",
                help: "When the certificate of a domain ends, in seconds since 1970.",
                labels: ["domain": domain]
            ).set(Int(info.notAfter))
            if info.notAfter < Int64(time(nil)) {
                context.logger.error("the certificate has expired", metadata: ["domain": "\(domain)"])
            }
        }
    }

    /// Tells all clients that the process stops, waits for them a while, and ends link and database.
    func stop() -> EventLoopFuture<Void> {
        certificateTimer?.cancel()
        lookTimer?.cancel()
        ownerTimer?.cancel()
        hub.drain()
        let loop = context.eventLoop
        let deadline = NIODeadline.now() + TimeAmount(hub.configuration.timeouts.drain)
        let drained = loop.makePromise(of: Void.self)
        let runtime = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .milliseconds(10), delay: .milliseconds(50)) { task in
            guard runtime.value.hub.connectionCount == 0 || NIODeadline.now() >= deadline else { return }
            task.cancel()
            drained.succeed()
        }
        return drained.futureResult.flatMap { runtime.value.link.stop() }.flatMap { runtime.value.database.shutdown() }
    }

    /// The role that reads credentials only.
    static func databaseConfiguration(_ context: DaemonContext) -> DatabaseConfiguration {
        let configuration = context.configuration
        var result = DatabaseConfiguration(
            url: configuration.credentialsDatabase.revealed,
            applicationName: context.instance.description
        )
        result.readConnections = configuration.database.credentialsConnections
        result.writeConnections = 0
        result.connectTimeout = TimeAmount(configuration.database.connectTimeout)
        result.statementTimeout = TimeAmount(configuration.database.statementTimeout)
        result.queuedRequests = configuration.database.queueLength
        result.longestRetryDelay = TimeAmount(configuration.database.reconnectDelayMaximum)
        return result
    }
}

extension SCRAMCredentials {
    /// Credentials as they are stored; nil for a hash that we do not know.
    fileprivate init?(_ row: CredentialRow) {
        guard let hash = SCRAMHash(rawValue: row.hash) else { return nil }
        self.init(
            hash: hash,
            iterations: row.iterations,
            salt: row.salt,
            storedKey: row.storedKey,
            serverKey: row.serverKey
        )
    }
}

extension C2SRuntime: InstanceLinkDelegate {
    func linkUp(_ link: InstanceLink) {
        context.status.isConnected = true
        context.readiness.met("router")
    }

    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance) {
        guard instance.kind == .internal else { return }
        let names = instance.names.filter { hub.configuration.domains.contains($0) }
        hub.instanceAvailable(name: instance.name, epoch: instance.epoch, names: names)
        updateReadiness()
    }

    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance) {
        hub.instanceUnavailable(name: instance.name)
        updateReadiness()
    }

    func linkInstancesComplete(_ link: InstanceLink) {}

    func link(_ link: InstanceLink, takes route: RouteFrame) -> Bool { hub.takes(route) }

    func linkReadBegan(_ link: InstanceLink) { hub.linkReadBegan() }
    func linkReadComplete(_ link: InstanceLink) { hub.linkReadComplete() }

    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String) {
        hub.received(message, from: instance)
    }

    func link(_ link: InstanceLink, received stanza: Stanza) {
        let from = stanza.from?.description ?? ""
        context.logger.warning("a stanza for an instance of C2S", metadata: ["from": "\(from)"])
    }

    func link(_ link: InstanceLink, down failure: LinkFailure) {
        context.status.isConnected = false
        context.readiness.unmet("router", reason: "not connected")
    }

    private func updateReadiness() {
        let missing = hub.configuration.domains.filter { !hub.hasOwner(of: $0) }.sorted()
        if missing.isEmpty {
            context.readiness.met("sm")
        } else {
            context.readiness.unmet("sm", reason: "nobody serves \(missing.joined(separator: ", "))")
        }
    }
}
