// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import DNS
import Daemon
import Logging
import NIOCore
import NIOPosix
import TLS
import XMPPCore

/// The parts of the process that live on its event loop, and what ties them: link, streams, DNS, certificates, clocks.
final class S2SRuntime {
    let hub: S2SHub
    private let context: DaemonContext
    private let link: InstanceLink
    private let suite: SuiteLink
    private let resolverThread = NIOThreadPool(numberOfThreads: 1)
    private var certificateTimer: RepeatedTask?
    private var lookTimer: RepeatedTask?

    init(_ context: DaemonContext, secrets: S2SSecrets) throws {
        let configuration = context.configuration
        self.context = context
        self.resolverThread.start()
        let resolver = try DNSResolver(
            Self.resolverConfiguration(configuration.s2s.dns),
            eventLoop: context.eventLoop,
            runOnThread: { [resolverThread] body in resolverThread.submit { _ in body() } }
        )
        let finder = PeerFinder(
            resolver: resolver,
            eventLoop: context.eventLoop,
            connectTimeout: TimeAmount(configuration.s2s.timeouts.connect)
        )
        self.hub = S2SHub(
            configuration: configuration,
            key: DialbackKey(secret: secrets.dialback.revealed),
            finder: finder,
            metrics: S2SMetrics(context.metrics),
            eventLoop: context.eventLoop,
            logger: context.logger
        )
        self.hub.tlsContexts = try Self.tlsContexts(configuration)
        self.link = InstanceLink(context, secret: secrets.link, isDefaultRoute: true)
        self.suite = SuiteLink(link: self.link, hub: self.hub, logger: context.logger)
        self.hub.port = self.suite
        self.link.delegate = self.suite
        let responder = AdminResponder(eventLoop: context.eventLoop) { context.status.fields() }
        S2SCommands(self.hub).register(at: responder)
        self.link.responder = responder
        self.suite.whenLinkChanged = { isUp in
            context.status.isConnected = isUp
            if isUp {
                context.readiness.met("router")
            } else {
                context.readiness.unmet("router", reason: "not connected")
            }
        }
    }

    private static func resolverConfiguration(_ section: JackdawConfiguration.DNS) -> DNSResolver.Configuration {
        DNSResolver.Configuration(
            resolvers: section.resolvers,
            trustAnchors: section.trustAnchors ?? DNSResolver.Configuration.systemTrustAnchors,
            timeout: TimeAmount(section.timeout)
        )
    }

    // MARK: - Certificates

    private static func listening(
        _ configuration: JackdawConfiguration,
        _ authorities: TrustStore
    ) throws(TLSError) -> [JackdawConfiguration.Listener.TLSMode: TLSContext] {
        var result: [JackdawConfiguration.Listener.TLSMode: TLSContext] = [:]
        for mode in JackdawConfiguration.Listener.TLSMode.allCases {
            var server = configuration.tlsServer(alpn: mode == .direct ? ["xmpp-server"] : [])
            server.peerAuthorities = authorities
            result[mode] = try TLSContext(server: server)
        }
        return result
    }

    /// For each hosted domain, whose certificate is shown, and one for others, which show none.
    private static func connecting(
        _ configuration: JackdawConfiguration,
        _ authorities: TrustStore
    ) throws(TLSError) -> [S2SHub.ConnectingTLS: TLSContext] {
        var result: [S2SHub.ConnectingTLS: TLSContext] = [:]
        for isDirect in [false, true] {
            let alpn = isDirect ? ["xmpp-server"] : []
            var client = TLSContext.ClientConfiguration(alpn: alpn, peerAuthorities: authorities)
            result[S2SHub.ConnectingTLS(domain: "", isDirect: isDirect)] = try TLSContext(client: client)
            for domain in configuration.domains {
                let files = configuration.certificateFiles(for: domain)
                client.identity = TLSContext.Identity(certificateFile: files.certificate, keyFile: files.key)
                result[S2SHub.ConnectingTLS(domain: domain.name, isDirect: isDirect)] = try TLSContext(client: client)
            }
        }
        return result
    }

    /// Reads all certificates; the authorities once for all contexts.
    static func tlsContexts(_ configuration: JackdawConfiguration) throws(TLSError) -> S2SHub.TLSContexts {
        let authorities = try TrustStore(path: configuration.s2s.authorities)
        return S2SHub.TLSContexts(
            listening: try Self.listening(configuration, authorities),
            connecting: try Self.connecting(configuration, authorities)
        )
    }

    private func reloadCertificates(_ configuration: JackdawConfiguration) {
        do {
            self.hub.tlsContexts = try Self.tlsContexts(configuration)
        } catch {
            self.context.logger.error("certificates not reloaded", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: - Metrics

    private func publish() {
        let hub = NIOLoopBound(self.hub, eventLoop: self.context.eventLoop)
        for state in S2SHub.StreamState.allCases {
            for isInitiating in [false, true] where isInitiating || state != .connecting {
                self.context.metrics.computedGauge(
                    "jackdaw_s2s_streams",
                    help: "Streams with other servers.",
                    labels: ["direction": isInitiating ? "out" : "in", "state": state.rawValue]
                ) {
                    Double(hub.value.count(isInitiating: isInitiating, in: state))
                }
            }
        }
        self.context.metrics.computedGauge(
            "jackdaw_s2s_waiting_links",
            help: "Pairs of domains with stanzas that wait for a link."
        ) {
            Double(hub.value.waitingLinks)
        }
    }

    // MARK: - Start and end

    func start() {
        self.context.readiness.require("router", reason: "not connected")
        self.link.start()
        self.publish()
        let loop = self.context.eventLoop
        let runtime = NIOLoopBound(self, eventLoop: loop)
        self.lookTimer = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            runtime.value.hub.look(now: .now())
        }
        self.startCertificateClock(self.context.configuration)
        self.context.onReload { configuration in runtime.value.reload(configuration) }
    }

    private func startCertificateClock(_ configuration: JackdawConfiguration) {
        self.certificateTimer?.cancel()
        let interval = TimeAmount(configuration.tls.reloadInterval)
        let runtime = NIOLoopBound(self, eventLoop: self.context.eventLoop)
        self.certificateTimer = self.context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) {
            _ in
            runtime.value.lookAtCertificates(configuration)
        }
    }

    /// Certificate files are small and local: to read them on the loop takes less than a millisecond each.
    private func lookAtCertificates(_ configuration: JackdawConfiguration) {
        var isChanged = false
        for tlsContext in self.hub.tlsContexts.listening.values {
            do {
                isChanged = try tlsContext.reloadIfChanged() || isChanged
            } catch {
                self.context.logger.error("certificates not reloaded", metadata: ["reason": "\(error)"])
            }
        }
        guard isChanged else { return }
        self.context.logger.info("new certificates are in use")
        self.reloadCertificates(configuration)
    }

    /// SIGHUP: everything but what `JackdawConfiguration.renewed` keeps.
    private func reload(_ configuration: JackdawConfiguration) {
        self.hub.reload(configuration)
        self.link.reload(configuration)
        self.reloadCertificates(configuration)
        self.startCertificateClock(configuration)
    }

    /// Ends all streams, waits for them and for the SMs a while, and ends the link.
    func stop() -> EventLoopFuture<Void> {
        self.certificateTimer?.cancel()
        self.lookTimer?.cancel()
        self.hub.drain()
        let loop = self.context.eventLoop
        let deadline = NIODeadline.now() + TimeAmount(self.hub.configuration.timeouts.close)
        let drained = loop.makePromise(of: Void.self)
        let runtime = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .milliseconds(10), delay: .milliseconds(50)) { task in
            let isOver = runtime.value.hub.streams.isEmpty && runtime.value.suite.isSettled
            guard isOver || NIODeadline.now() >= deadline else { return }
            task.cancel()
            drained.succeed()
        }
        return drained.futureResult.flatMap { runtime.value.link.stop() }
    }
}
