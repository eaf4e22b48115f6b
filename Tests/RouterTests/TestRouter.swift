// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon
import Logging
import NIOCore
import NIOPosix

@testable import Router

/// A router on a free port, in this process. The secret of a component is the text in its `secretFile`.
struct TestRouter {
    static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    static let threadPool = NIOThreadPool(numberOfThreads: 1)

    let service: RouterService
    let context: DaemonContext

    var port: Int { self.service.port }

    /// `chess.localhost`, `words.localhost` and `rooms.localhost` are external, `maps.localhost` may be internal,
    /// `gate.localhost` holds the default route; the suite's own processes have the secrets `c2s`, `sm` and `ctl`.
    static var configuration: JackdawConfiguration {
        var configuration = JackdawConfiguration()
        configuration.router.listen = ListenAddress(host: "127.0.0.1", port: 0)
        configuration.secrets.c2s = "c2s"
        configuration.secrets.sm = "sm"
        configuration.secrets.ctl = "ctl"
        configuration.secrets.router = "router"
        configuration.components = [
            Self.component("chess.localhost"), Self.component("words.localhost"), Self.component("rooms.localhost"),
            Self.component("maps.localhost", isInternal: true),
            Self.component("gate.localhost", isInternal: true, isDefaultRoute: true),
        ]
        return configuration
    }

    /// The configuration with other limits.
    static func limits(_ change: (inout JackdawConfiguration.RouterLimits) -> Void) -> JackdawConfiguration {
        var configuration = Self.configuration
        change(&configuration.router.limits)
        return configuration
    }

    static func component(
        _ name: String,
        isInternal: Bool = false,
        isDefaultRoute: Bool = false
    )
        -> JackdawConfiguration.Component
    {
        var component = JackdawConfiguration.Component()
        component.names = [name]
        component.secretFile = "secret of \(name)"
        component.isInternal = isInternal
        component.isDefaultRoute = isDefaultRoute
        return component
    }

    static func directory(_ configuration: JackdawConfiguration = Self.configuration) -> ComponentDirectory {
        ComponentDirectory(configuration) { (path: String) -> Secret in Secret(path) }
    }

    /// Starts a router, and stops it after `body`.
    static func run(
        _ configuration: JackdawConfiguration = Self.configuration,
        _ body: (TestRouter) async throws -> Void
    ) async throws {
        let router = try await Self.start(configuration)
        do {
            try await body(router)
        } catch {
            try await router.service.stop()
            throw error
        }
        try await router.service.stop()
    }

    static func start(_ configuration: JackdawConfiguration, number: Int = 1) async throws -> TestRouter {
        var logger = Logger(label: "router") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let context = DaemonContext(
            instance: InstanceName(kind: .router, number: number),
            configuration: configuration,
            group: Self.group,
            threadPool: Self.threadPool,
            logger: logger
        )
        let service = try await RouterService.start(context, Self.directory(configuration))
        return TestRouter(service: service, context: context)
    }

    /// Reads the router's state on its loop.
    func inspect<Value: Sendable>(_ body: @escaping @Sendable (StanzaRouter) -> Value) async throws -> Value {
        let router = self.service.router
        return try await self.context.eventLoop.submit { body(router.value) }.get()
    }

    /// Changes the configuration, as SIGHUP does.
    func apply(_ configuration: JackdawConfiguration) async throws {
        let directory = Self.directory(configuration)
        let context = self.context
        try await self.inspect {
            $0.apply(directory: directory, limits: configuration.router.limits)
            RouterService.linkToOthers($0, context, configuration)
        }
    }

    /// A connected socket that has sent nothing.
    func connect(from address: String? = nil) async throws -> RawComponent {
        try await RawComponent.connect(port: self.port, group: Self.group, from: address)
    }

    /// An external component, after its handshake.
    func component(_ name: String) async throws -> RawComponent {
        let client = try await self.connect()
        try await client.open(name)
        try await client.handshake(secret: "secret of \(name)")
        return client
    }

    /// An instance, after its declaration.
    func instance(
        _ name: String,
        secret: String,
        epoch: String = "e1",
        declaring: String = ""
    ) async throws
        -> RawComponent
    {
        let client = try await self.connect()
        try await client.open(name, isInternal: true)
        try await client.handshake(secret: secret)
        client.send("<j:declare epoch='\(epoch)'>\(declaring)</j:declare>")
        _ = try await client.read(through: "<j:declared/>")
        return client
    }
}
