// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore

@testable import ComponentLink

/// The routers between the processes, which lose links, die, come back and stand still; and the clock.
///
/// What is on its way when a link breaks is lost from some point on, as it is with sockets.
final class SimulatedNetwork {
    struct Frame {
        enum Content {
            case available(LinkInstance)
            case unavailable(String)
            case complete
            case sync(ReliableChannel<ByteBuffer>.Sync)
            case message(ByteBuffer, number: UInt64, pair: Pair)
            case acknowledgement(UInt64, pair: Pair)
        }

        var from = ""
        var to = ""
        var content: Content
    }

    /// A process's link to a router.
    private final class Port {
        let link: SimulatedLink
        var toRouter: Deque<Frame> = []
        var fromRouter: Deque<Frame> = []
        /// It broke, and the process has not noticed.
        var isBroken = false

        init(_ link: SimulatedLink) {
            self.link = link
        }
    }

    private struct Router {
        var isUp = true
        var isFrozen = false
        /// By the name of the process; those that broke are in it until the process notices.
        var ports: [String: Port] = [:]

        var bound: [Port] { ports.keys.sorted().compactMap { ports[$0] }.filter { !$0.isBroken } }
    }

    /// Milliseconds.
    var now: Int64 = 1_000
    /// Lines of a replay.
    var log: [String]?
    private var routers: [Router]

    init(routers: Int) {
        self.routers = Array(repeating: Router(), count: routers)
    }

    var routerCount: Int { routers.count }

    func trace(_ line: () -> String) {
        guard log != nil else { return }
        log?.append("\(now) \(line())")
    }

    // MARK: Links

    func isUp(_ link: SimulatedLink, _ router: Int) -> Bool {
        routers[router].ports[link.instance.name].map { $0.link === link && !$0.isBroken } ?? false
    }

    func isUp(_ link: SimulatedLink) -> Bool { routers.indices.contains { isUp(link, $0) } }

    /// A process connects, if the router answers; nothing happens where it is connected.
    func connect(_ link: SimulatedLink, _ router: Int) {
        let name = link.instance.name
        guard routers[router].isUp, !routers[router].isFrozen, routers[router].ports[name] == nil else { return }
        trace { "\(name) links to router \(router)" }
        let port = Port(link)
        for other in routers[router].bound {
            port.fromRouter.append(Frame(content: .available(other.link.instance)))
            other.fromRouter.append(Frame(content: .available(link.instance)))
        }
        port.fromRouter.append(Frame(content: .complete))
        routers[router].ports[name] = port
    }

    /// A link breaks: of what is on its way some is still read.
    func disconnect(_ name: String, _ router: Int, routerReads: Int = 0, processReads: Int = 0) {
        guard let port = routers[router].ports[name], !port.isBroken else { return }
        trace { "\(name) loses its link to router \(router)" }
        if !routers[router].isFrozen {
            for _ in 0..<min(routerReads, port.toRouter.count) { route(from: port, router) }
        }
        port.isBroken = true
        port.toRouter.removeAll()
        port.fromRouter.removeLast(max(0, port.fromRouter.count - processReads))
        for other in routers[router].bound { other.fromRouter.append(Frame(content: .unavailable(name))) }
    }

    /// The process is gone.
    func remove(_ link: SimulatedLink, routerReads: Int) {
        for router in routers.indices where routers[router].ports[link.instance.name]?.link === link {
            disconnect(link.instance.name, router, routerReads: routerReads)
            routers[router].ports[link.instance.name] = nil
        }
    }

    // MARK: Routers

    func isRouterUp(_ router: Int) -> Bool { routers[router].isUp }
    func isFrozen(_ router: Int) -> Bool { routers[router].isFrozen }

    func stopRouter(_ router: Int, reads: () -> Int) {
        guard routers[router].isUp else { return }
        trace { "router \(router) dies" }
        for name in routers[router].ports.keys.sorted() {
            disconnect(name, router, routerReads: reads(), processReads: reads())
        }
        routers[router].isFrozen = false
        routers[router].isUp = false
    }

    func startRouter(_ router: Int) { routers[router].isUp = true }

    func freeze(_ router: Int, _ isFrozen: Bool) {
        trace { "router \(router) \(isFrozen ? "stands still" : "goes on")" }
        routers[router].isFrozen = isFrozen
    }

    // MARK: Frames

    func put(_ content: Frame.Content, to name: String, from link: SimulatedLink, _ router: Int) {
        guard !link.isDead, isUp(link, router) else { return }
        routers[router].ports[link.instance.name]?.toRouter.append(
            Frame(from: link.instance.name, to: name, content: content)
        )
    }

    private func route(from port: Port, _ router: Int) {
        guard let frame = port.toRouter.popFirst() else { return }
        // What cannot be placed goes back, and the channel does not care.
        guard let target = routers[router].ports[frame.to], !target.isBroken else { return }
        target.fromRouter.append(frame)
    }

    /// The router forwards up to so many frames of a process; false if there was none.
    @discardableResult
    func route(_ name: String, _ router: Int, _ count: Int) -> Bool {
        guard !routers[router].isFrozen, let port = routers[router].ports[name], !port.toRouter.isEmpty else {
            return false
        }
        for _ in 0..<min(count, port.toRouter.count) { route(from: port, router) }
        return true
    }

    /// A process reads up to so many frames; false if there was nothing.
    @discardableResult
    func read(_ link: SimulatedLink, _ router: Int, _ count: Int) -> Bool {
        guard let port = routers[router].ports[link.instance.name], port.link === link else { return false }
        guard port.isBroken || !routers[router].isFrozen else { return false }
        let frames = Array(port.fromRouter.prefix(count))
        port.fromRouter.removeFirst(frames.count)
        if !frames.isEmpty { link.read(frames, over: router) }
        guard port.isBroken, port.fromRouter.isEmpty else { return !frames.isEmpty }
        routers[router].ports[link.instance.name] = nil
        link.lost(router)
        return true
    }
}
