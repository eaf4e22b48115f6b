// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import TLS

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
    private let listeners: [any Channel]

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
        var listeners = [try await Self.listen(context.configuration.router.listen, router, context, nil)]
        let security = try await Self.security(context)
        if let security, let address = context.configuration.router.tlsListen {
            listeners.append(try await Self.listen(address, router, context, security))
        }
        context.readiness.met("listener")
        context.status.isConnected = true
        let service = RouterService(context: context, router: router, listeners: listeners)
        service.reloadOnRequest(security)
        return service
    }

    private static func listen(
        _ first: ListenAddress,
        _ router: NIOLoopBound<StanzaRouter>,
        _ context: DaemonContext,
        _ security: NIOLoopBound<TLSContext>?
    ) async throws -> any Channel {
        let address = context.configuration.address(first, of: context.instance)
        do {
            let bootstrap = Self.bootstrap(router, context, security)
            let listener = try await bootstrap.bind(host: address.host, port: address.port).get()
            context.logger.info(
                "listening",
                metadata: [
                    "address": "\(listener.localAddress?.description ?? "")", "tls": "\(security != nil)",
                ]
            )
            return listener
        } catch {
            throw DaemonFailure(.unavailable, "cannot listen on \(address): \(error)")
        }
    }

    /// The certificate that is shown to other hosts; nil: there is no `router.tls_listen`.
    private static func security(_ context: DaemonContext) async throws -> NIOLoopBound<TLSContext>? {
        guard context.configuration.router.tlsListen != nil else { return nil }
        return try await context.eventLoop.submit {
            do {
                let security = try TLSContext(server: context.configuration.routerTLS)
                return NIOLoopBound(security, eventLoop: context.eventLoop)
            } catch {
                throw DaemonFailure(.configuration, "\(error)")
            }
        }.get()
    }

    /// Runs until the process is asked to stop; then ends all streams.
    func run() async throws {
        try? await gracefulShutdown()
        try await self.stop()
    }

    /// The port that it listens on.
    var port: Int { self.listeners.first?.localAddress?.port ?? 0 }

    /// The port that it listens on with TLS; 0: none.
    var tlsPort: Int { self.listeners.count > 1 ? self.listeners[1].localAddress?.port ?? 0 : 0 }

    /// Ends all streams with `<system-shutdown/>`.
    func stop() async throws {
        self.context.readiness.unmet("listener", reason: "stopping")
        self.context.status.isConnected = false
        for listener in self.listeners { try? await listener.close() }
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
        let own = context.configuration.address(configuration.router.listen, of: context.instance)
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

    private static func bootstrap(
        _ router: NIOLoopBound<StanzaRouter>,
        _ context: DaemonContext,
        _ security: NIOLoopBound<TLSContext>?
    ) -> ServerBootstrap {
        ServerBootstrap(group: context.eventLoop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let address = channel.remoteAddress?.ipAddress ?? ""
                    if let security {
                        let handler = try TLSHandler(context: security.value, domain: nil)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    let handler = ComponentConnectionHandler(router: router.value, address: address)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
    }

    /// SIGHUP: components, secrets and limits; the listener stays.
    private func reloadOnRequest(_ security: NIOLoopBound<TLSContext>?) {
        let context = self.context
        if let security { Self.watchCertificate(security, context) }
        let router = self.router
        context.onReload { configuration in
            if let security {
                Self.renew(security, context) {
                    try $0.reload()
                    return true
                }
            }
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

    /// The files are looked at now and then; they are small and local.
    private static func watchCertificate(_ security: NIOLoopBound<TLSContext>, _ context: DaemonContext) {
        let interval = TimeAmount(context.configuration.tls.reloadInterval)
        context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            Self.renew(security, context) { try $0.reloadIfChanged() }
        }
    }

    private static func renew(
        _ security: NIOLoopBound<TLSContext>,
        _ context: DaemonContext,
        _ body: (TLSContext) throws -> Bool
    ) {
        do {
            if try body(security.value) { context.logger.info("the certificate was read again") }
        } catch {
            context.logger.error("the certificate was not read", metadata: ["reason": "\(error)"])
        }
    }

    /// What `--check` finds: secrets and a certificate that cannot be read.
    static func check(_ context: DaemonContext) -> [CheckFinding] {
        var files = ComponentKind.allCases.compactMap { kind in
            context.configuration.secretFile(for: kind).map { (subject: "secret of \(kind.rawValue)", file: $0) }
        }
        files += context.configuration.components.map { component in
            (subject: "secret of \(component.names.first ?? "")", file: component.secretFile)
        }
        let secrets = files.map { subject, file in
            do {
                _ = try Secret.load(file: file)
                return CheckFinding(.ok, subject, file)
            } catch {
                return CheckFinding(.error, subject, "\(error)")
            }
        }
        guard context.configuration.router.tlsListen != nil else { return secrets }
        let shown = context.configuration.routerCertificateFiles
        do throws(TLSError) {
            _ = try TLSContext(server: context.configuration.routerTLS)
            return secrets + [CheckFinding(.ok, "certificate of the router", shown.certificate)]
        } catch {
            return secrets + [CheckFinding(.error, "certificate of the router", "\(error)")]
        }
    }
}

extension JackdawConfiguration {
    /// What a router shows to other hosts.
    fileprivate var routerTLS: TLSContext.ServerConfiguration {
        let files = self.routerCertificateFiles
        let identity = TLSContext.Identity(certificateFile: files.certificate, keyFile: files.key)
        return TLSContext.ServerConfiguration(
            identities: ["router": identity],
            defaultDomain: "router",
            minimumVersion: self.tls.minimumVersion == .tls13 ? .tls13 : .tls12,
            ciphers: self.tls.ciphers
        )
    }
}
