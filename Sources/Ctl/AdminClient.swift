// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon
import Logging
import NIOCore
import NIOPosix
import XMPPCore

/// The tool's link to the router, with futures instead of a delegate's calls; one run of the tool, one link.
struct AdminClient: Sendable {
    private let exchange: NIOLoopBound<AdminExchange>
    private let eventLoop: any EventLoop
    /// How long an answer may take.
    let timeout: Duration

    /// Runs a body with a link, and ends the link.
    static func withLink<Value: Sendable>(
        _ configuration: JackdawConfiguration,
        timeout: Int,
        _ body: (AdminClient) async throws -> Value
    ) async throws -> Value {
        let secret: Secret
        do throws(SecretFileError) {
            secret = try Secret.load(file: configuration.secrets.ctl)
        } catch {
            throw Refusal(.configuration, error.description)
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let eventLoop = group.next()
        let exchange = try await eventLoop.submit {
            let exchange = AdminExchange(configuration, secret, .seconds(Int64(timeout)), eventLoop)
            return NIOLoopBound(exchange, eventLoop: eventLoop)
        }.get()
        let client = AdminClient(exchange: exchange, eventLoop: eventLoop, timeout: .seconds(timeout))
        do {
            try await eventLoop.flatSubmit { exchange.value.connect() }.get()
            let value = try await body(client)
            await client.end(group)
            return value
        } catch {
            await client.end(group)
            throw error
        }
    }

    private func end(_ group: MultiThreadedEventLoopGroup) async {
        let exchange = exchange
        try? await eventLoop.flatSubmit { exchange.value.stop() }.get()
        try? await group.shutdownGracefully()
    }

    /// The names of our own processes, without tools: the routers first.
    func instances() async throws -> [String] {
        let exchange = exchange
        let all = try await eventLoop.submit { exchange.value.instances }.get()
        return all.filter(Self.isRouter).sorted() + all.filter { !Self.isRouter($0) }.sorted()
    }

    /// The routers that are linked to.
    func routers() async throws -> [String] {
        try await instances().filter(Self.isRouter)
    }

    private static func isRouter(_ name: String) -> Bool { InstanceName(routerName: name)?.kind == .router }

    /// A process that serves a domain; of several the first by name.
    func instance(serving domain: String) async throws -> String {
        let exchange = exchange
        let found = try await eventLoop.submit { exchange.value.instances(serving: domain) }.get()
        guard let first = found.first else {
            throw Refusal(
                .unavailable,
                "no session manager serves '\(domain)' now: not a domain of ours, or it does not run"
            )
        }
        return first
    }

    /// All processes that serve the domains, each once.
    func instances(serving domains: [String]) async throws -> [String] {
        let exchange = exchange
        var all: [String] = []
        for domain in domains {
            // A domain that nobody serves is a refusal.
            _ = try await instance(serving: domain)
            let found = try await eventLoop.submit { exchange.value.instances(serving: domain) }.get()
            for instance in found where !all.contains(instance) { all.append(instance) }
        }
        return all
    }

    /// Asks a process; its refusal is thrown.
    func ask(_ instance: String, _ command: String, _ arguments: [AdminField] = []) async throws -> [[AdminField]] {
        let response = try await response(instance, command, arguments)
        if let error = response.error { throw Refusal(error) }
        return response.rows
    }

    /// Asks a process; its refusal is in the response.
    func response(_ instance: String, _ command: String, _ arguments: [AdminField]) async throws -> AdminResponse {
        let exchange = exchange
        return try await eventLoop.flatSubmit { exchange.value.ask(instance, command, arguments) }.get()
    }
}

/// The link and what waits for an answer; confined to its loop.
private final class AdminExchange: InstanceLinkDelegate {
    private let link: InstanceLink
    private let timeout: TimeAmount
    private let addresses: String
    private var up: EventLoopPromise<Void>?
    private var pending: [String: (promise: EventLoopPromise<AdminResponse>, instance: String)] = [:]
    private var sent = 0

    init(
        _ configuration: JackdawConfiguration,
        _ secret: Secret,
        _ timeout: TimeAmount,
        _ eventLoop: any EventLoop
    ) {
        let run = String(UInt64.random(in: 0 ... .max), radix: 36)
        let identity = ComponentLinkStateMachine.Configuration(
            name: "ctl-\(run).\(JackdawConfiguration.internalDomain)",
            secret: secret.revealed,
            declaration: LinkDeclaration(epoch: run)
        )
        let routers = RouterAddress.all(of: configuration)
        var settings = InstanceLink.Configuration(routers: routers, identity: identity)
        settings.elementBytes = configuration.router.limits.internalStanzaBytes
        self.link = InstanceLink(settings, eventLoop: eventLoop, logger: .silent)
        self.timeout = timeout
        self.addresses = routers.map(\.description).joined(separator: ", ")
        link.delegate = self
    }

    func connect() -> EventLoopFuture<Void> {
        let promise = link.eventLoop.makePromise(of: Void.self)
        up = promise
        let bound = NIOLoopBound(self, eventLoop: link.eventLoop)
        link.eventLoop.scheduleTask(in: timeout) { bound.value.failConnection("no answer in time") }
        link.start()
        return promise.futureResult
    }

    func stop() -> EventLoopFuture<Void> { link.stop() }

    var instances: [String] {
        link.instances.values.filter { $0.kind == .internal && !$0.name.hasPrefix("ctl-") }.map(\.name)
    }

    func instances(serving domain: String) -> [String] {
        link.instances(serving: domain).filter { $0.kind == .internal }.map(\.name)
    }

    func ask(_ instance: String, _ command: String, _ arguments: [AdminField]) -> EventLoopFuture<AdminResponse> {
        let promise = link.eventLoop.makePromise(of: AdminResponse.self)
        sent += 1
        let id = String(sent)
        pending[id] = (promise: promise, instance: instance)
        if !link.send(AdminRequest(id: id, command: command, arguments: arguments), to: instance) {
            fail(id, "the link to the router is gone")
        }
        let bound = NIOLoopBound(self, eventLoop: link.eventLoop)
        let name = Self.short(instance)
        link.eventLoop.scheduleTask(in: timeout) { bound.value.fail(id, "\(name) gave no answer in time") }
        return promise.futureResult
    }

    private func fail(_ id: String, _ reason: String) {
        pending.removeValue(forKey: id)?.promise.fail(Refusal(.unavailable, reason))
    }

    private func failConnection(_ reason: String) {
        up?.fail(Refusal(.unavailable, "no link to the router at \(addresses): \(reason)"))
        up = nil
    }

    private static func short(_ instance: String) -> String {
        let suffix = "." + JackdawConfiguration.internalDomain
        return instance.hasSuffix(suffix) ? String(instance.dropLast(suffix.count)) : instance
    }

    func linkUp(_ link: InstanceLink) {}

    func linkInstancesComplete(_ link: InstanceLink) {
        up?.succeed()
        up = nil
    }

    func link(_ link: InstanceLink, notUp failure: LinkFailure) {
        failConnection(Self.words(failure))
    }

    func link(_ link: InstanceLink, down failure: LinkFailure) {
        failConnection(Self.words(failure))
        for id in pending.keys { fail(id, "the link to the router is gone: \(Self.words(failure))") }
    }

    func link(_ link: InstanceLink, received response: AdminResponse, from instance: String) {
        guard pending[response.id]?.instance == instance else { return }
        pending.removeValue(forKey: response.id)?.promise.succeed(response)
    }

    func link(_ link: InstanceLink, returned request: AdminRequest, to instance: String) {
        pending.removeValue(forKey: request.id)?.promise.fail(Refusal.absent("\(Self.short(instance)) does not run"))
    }

    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance) {
        for (id, entry) in pending where entry.instance == instance.name {
            fail(id, "\(Self.short(instance.name)) ended before it answered")
        }
    }

    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance) {}
    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String) {}
    func link(_ link: InstanceLink, received stanza: Stanza) {}

    private static func words(_ failure: LinkFailure) -> String {
        switch failure {
        case .unreachable: "nothing listens there; does the suite run? (scripts/supervisor status)"
        case .streamError(condition: "not-authorized", text: _): "the secret of secrets.ctl is not the router's"
        case .streamError(let condition, let text): "it says \(condition)\(text.map { ": \($0)" } ?? "")"
        case .violation(let text): "it does not speak our protocol (\(text))"
        case .closed: "it closed the connection"
        case .timedOut: "no answer in time"
        case .queueFull: "too much waits to be sent"
        case .stopped: "ended"
        }
    }
}

extension Logger {
    /// The tool speaks on stderr in its own words.
    fileprivate static let silent = Logger(label: "jackdawctl") { _ in SwiftLogNoOpLogHandler() }
}
