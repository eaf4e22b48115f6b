// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The router: carries stanzas and wrappers between the components of the suite, and keeps nothing.
///
/// - Speaks to: our own processes and external components, on the component port (`router.listen`).
/// - Protocols: XEP-0114 version 1.6; `docs/protocols.md`, section 1, for our own.
/// - Privileges: reads the secrets of the components; no database.
/// - Diagnostics: info when a name is bound or gone; notice when a stream ends with an error; warning when a link is
///   reset; debug a line for each stanza. Ends with 69 where it cannot listen and 78 where a secret cannot be read.
struct RouterService: Service {
    private let context: DaemonContext
    let router: NIOLoopBound<StanzaRouter>
    private let listener: any Channel

    /// Reads the secrets, binds the port and makes the router.
    static func start(_ context: DaemonContext) async throws -> RouterService {
        do {
            let directory = try ComponentDirectory(context.configuration) { path throws(SecretFileError) in
                try Secret.load(file: path)
            }
            return try await Self.start(context, directory)
        } catch let error as SecretFileError {
            throw DaemonFailure(.configuration, "\(error)")
        }
    }

    /// Binds the port for those whom the directory names.
    static func start(_ context: DaemonContext, _ directory: ComponentDirectory) async throws -> RouterService {
        context.readiness.require("listener")
        let router = try await context.eventLoop.submit {
            NIOLoopBound(Self.makeRouter(context, directory), eventLoop: context.eventLoop)
        }.get()
        let address = Self.address(context)
        do {
            let listener = try await Self.bootstrap(router, context).bind(host: address.host, port: address.port).get()
            context.logger.info("listening", metadata: ["address": "\(listener.localAddress?.description ?? "")"])
            context.readiness.met("listener")
            context.status.isConnected = true
            let service = RouterService(context: context, router: router, listener: listener)
            service.reloadOnRequest()
            return service
        } catch {
            throw DaemonFailure(.unavailable, "cannot listen on \(address): \(error)")
        }
    }

    /// Runs until the process is asked to stop; then ends all streams.
    func run() async throws {
        try? await gracefulShutdown()
        try await self.stop()
    }

    /// The port that it listens on.
    var port: Int { self.listener.localAddress?.port ?? 0 }

    /// Ends all streams with `<system-shutdown/>`.
    func stop() async throws {
        self.context.readiness.unmet("listener", reason: "stopping")
        self.context.status.isConnected = false
        try? await self.listener.close()
        let router = self.router
        try await self.context.eventLoop.flatSubmit { router.value.close() }.get()
    }

    private static func makeRouter(_ context: DaemonContext, _ directory: ComponentDirectory) -> StanzaRouter {
        let router = StanzaRouter(
            name: context.instance.routerName,
            epoch: context.epoch,
            eventLoop: context.eventLoop,
            directory: directory,
            limits: context.configuration.router.limits,
            responder: AdminResponder(eventLoop: context.eventLoop) { context.status.fields() },
            metrics: RouterMetrics(context.metrics),
            logger: context.logger
        )
        router.boundChanged = { context.status.sessions = $0 }
        Self.linkToOthers(router, context, context.configuration)
        let bound = NIOLoopBound(router, eventLoop: context.eventLoop)
        context.metrics.computedGauge("jackdaw_router_queued_bytes", help: "Bytes that wait for the links") {
            Double(bound.value.queuedBytes)
        }
        context.metrics.computedGauge("jackdaw_router_peers", help: "Other routers that it is linked to") {
            Double(bound.value.peers?.linksUp ?? 0)
        }
        return router
    }

    /// Links to the other routers of a configuration, if there are any.
    static func linkToOthers(
        _ router: StanzaRouter,
        _ context: DaemonContext,
        _ configuration: JackdawConfiguration
    ) {
        let own = Self.address(context)
        let others = RouterAddress.all(of: configuration).filter { $0 != RouterAddress(host: own.host, port: own.port) }
        if router.peers == nil, !others.isEmpty, let secret = router.directory.routerSecret {
            let identity = ComponentLinkStateMachine.Configuration(
                name: router.name,
                secret: secret.revealed,
                declaration: LinkDeclaration(epoch: router.epoch)
            )
            var settings = InstanceLink.Configuration(routers: [], identity: identity)
            settings.elementBytes = configuration.router.limits.internalStanzaBytes
            settings.queueBytes = max(settings.queueBytes, configuration.router.limits.queueBytes)
            router.peers = RouterPeers(
                settings,
                eventLoop: context.eventLoop,
                logger: context.logger,
                responder: router.responder,
                receiver: router
            )
        }
        router.peers?.set(others)
    }

    /// Where this router listens: each a port higher than the one before; any free port is one for each.
    private static func address(_ context: DaemonContext) -> ListenAddress {
        var address = context.configuration.router.listen
        if address.port != 0 { address.port += context.instance.number - 1 }
        return address
    }

    private static func bootstrap(_ router: NIOLoopBound<StanzaRouter>, _ context: DaemonContext) -> ServerBootstrap {
        ServerBootstrap(group: context.eventLoop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let address = channel.remoteAddress?.ipAddress ?? ""
                    let handler = ComponentConnectionHandler(router: router.value, address: address)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
    }

    /// SIGHUP: components, secrets and limits; the listener stays.
    private func reloadOnRequest() {
        let context = self.context
        let router = self.router
        context.onReload { configuration in
            // Secrets are read away from the loop.
            let result = context.threadPool.runIfActive(eventLoop: context.eventLoop) {
                try ComponentDirectory(configuration) { path throws(SecretFileError) in try Secret.load(file: path) }
            }
            result.whenSuccess { directory in
                router.value.apply(directory: directory, limits: configuration.router.limits)
                Self.linkToOthers(router.value, context, configuration)
                context.logger.info("components reloaded")
            }
            result.whenFailure { error in
                context.logger.error("components not reloaded", metadata: ["reason": "\(error)"])
            }
        }
    }

    /// What `--check` finds: secrets that cannot be read.
    static func check(_ context: DaemonContext) -> [CheckFinding] {
        var files = ComponentKind.allCases.compactMap { kind in
            context.configuration.secretFile(for: kind).map { (subject: "secret of \(kind.rawValue)", file: $0) }
        }
        files += context.configuration.components.map { component in
            (subject: "secret of \(component.names.first ?? "")", file: component.secretFile)
        }
        return files.map { subject, file in
            do {
                _ = try Secret.load(file: file)
                return CheckFinding(.ok, subject, file)
            } catch {
                return CheckFinding(.error, subject, "\(error)")
            }
        }
    }
}
