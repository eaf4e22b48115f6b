// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Logging
import NIOCore
import NIOPosix
import XMPPCore

/// An `InstanceLink` with a delegate that writes down what it is told.
struct LinkedInstance: Sendable {
    private let link: NIOLoopBound<InstanceLink>
    private let diary: NIOLoopBound<Diary>
    private let eventLoop: any EventLoop

    static func start(
        _ name: String,
        secret: String,
        names: [String] = [],
        _ routers: TestRouter...,
        queueBytes: Int = 16 << 20,
        elementBytes: Int = 4 << 20,
        starts: Bool = true
    ) async throws -> LinkedInstance {
        let eventLoop = TestRouter.group.next()
        var configuration = InstanceLink.Configuration(
            routers: routers.map { RouterAddress(host: "127.0.0.1", port: $0.port) },
            identity: ComponentLinkStateMachine.Configuration(
                name: "\(name).jackdaw.internal",
                secret: secret,
                declaration: LinkDeclaration(epoch: "epoch of \(name)", names: names)
            )
        )
        configuration.elementBytes = elementBytes
        configuration.queueBytes = queueBytes
        configuration.backoff = ReconnectBackoff(first: .milliseconds(1), longest: .milliseconds(20))
        let settings = configuration
        return try await eventLoop.submit {
            let logger = Logger(label: name) { _ in SwiftLogNoOpLogHandler() }
            let link = InstanceLink(settings, eventLoop: eventLoop, logger: logger)
            let diary = Diary()
            link.delegate = diary
            link.responder = AdminResponder(eventLoop: eventLoop) { [(name: "process", value: name)] }
            if starts { link.start() }
            return LinkedInstance(
                link: NIOLoopBound(link, eventLoop: eventLoop),
                diary: NIOLoopBound(diary, eventLoop: eventLoop),
                eventLoop: eventLoop
            )
        }.get()
    }

    /// Runs on the link's loop.
    @discardableResult
    func on<Value: Sendable>(_ body: @escaping @Sendable (InstanceLink) -> Value) async throws -> Value {
        let link = self.link
        return try await self.eventLoop.submit { body(link.value) }.get()
    }

    func history() async throws -> [String] {
        let diary = self.diary
        return try await self.eventLoop.submit { diary.value.entries }.get()
    }

    /// Waits until an entry that begins so was written `times` times.
    func wait(for entry: String, times: Int = 1) async throws {
        let eventLoop = self.eventLoop
        let diary = self.diary
        try await self.eventLoop.flatSubmit {
            diary.value.wait(for: entry, times, eventLoop)
        }.get()
    }

    /// Starts the link, and stops it so long after that; done when the link has ended.
    func start(stoppingAfter delay: TimeAmount) async throws {
        let link = self.link
        try await self.eventLoop.flatSubmit {
            link.value.start()
            // Without a delay in the same turn of the loop, so that nothing can have happened.
            guard delay > .zero else { return Self.stop(link.value) }
            return link.value.eventLoop.flatScheduleTask(in: delay) { Self.stop(link.value) }.futureResult
        }.get()
    }

    func stop() async throws {
        let link = self.link
        try await self.eventLoop.flatSubmit { Self.stop(link.value) }.get()
    }

    /// With a bound that only a broken link meets.
    private static func stop(_ link: InstanceLink) -> EventLoopFuture<Void> {
        let promise = link.eventLoop.makePromise(of: Void.self)
        let timer = link.eventLoop.scheduleTask(in: .seconds(20)) { promise.fail(NotStopped()) }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        link.stop().cascade(to: promise)
        return promise.futureResult
    }

    private struct NotStopped: Error {}
}

/// What a link told, a line for each call.
final class Diary: InstanceLinkDelegate {
    struct Never: Error {
        let waitingFor: String
        let entries: [String]
    }

    private(set) var entries: [String] = []
    private var waiters: [(prefix: String, times: Int, promise: EventLoopPromise<Void>)] = []

    func wait(for prefix: String, _ times: Int, _ eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        let seen = self.entries.count { $0.hasPrefix(prefix) }
        self.waiters.append((prefix, times - seen, promise))
        let timer = eventLoop.assumeIsolated().scheduleTask(in: .seconds(60)) {
            promise.fail(Never(waitingFor: prefix, entries: self.entries.suffix(20)))
        }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        self.wake()
        return promise.futureResult
    }

    private func note(_ entry: String) {
        self.entries.append(entry)
        for index in self.waiters.indices where entry.hasPrefix(self.waiters[index].prefix) {
            self.waiters[index].times -= 1
        }
        self.wake()
    }

    private func wake() {
        let due = self.waiters.filter { $0.times <= 0 }
        guard !due.isEmpty else { return }
        self.waiters.removeAll { $0.times <= 0 }
        for waiter in due { waiter.promise.succeed() }
    }

    func linkUp(_ link: InstanceLink) { self.note("up") }

    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance) {
        self.note("available \(instance.name) \(instance.names)")
    }

    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance) {
        self.note("unavailable \(instance.name)")
    }

    func linkInstancesComplete(_ link: InstanceLink) { self.note("complete") }

    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String) {
        self.note("message \(message.session) \(message.attach) \(message.content) from \(instance)")
    }

    func link(_ link: InstanceLink, received stanza: Stanza) {
        self.note("stanza \(stanza.id ?? "") \(stanza.payloadTag?.name ?? "")")
    }

    func link(_ link: InstanceLink, received response: AdminResponse, from instance: String) {
        if let error = response.error { return self.note("response \(response.id) error=\(error.condition)") }
        let fields = response.rows.first?.map { "\($0.name)=\($0.value)" }.joined(separator: " ") ?? ""
        self.note("response \(response.id) \(fields)")
    }

    func link(_ link: InstanceLink, returned request: AdminRequest, to instance: String) {
        self.note("request \(request.id) returned")
    }

    func link(_ link: InstanceLink, down failure: LinkFailure) { self.note("down \(failure)") }
}
