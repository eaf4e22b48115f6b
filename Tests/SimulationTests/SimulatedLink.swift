// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore
import NIOEmbedded
import XMPPCore

@testable import ComponentLink
@testable import XML

/// What a process hears of its link.
protocol SimulatedLinkOwner: AnyObject {
    func instanceAvailable(_ instance: LinkInstance)
    func instanceUnavailable(_ instance: LinkInstance)
    func instancesComplete()
    func readBegan()
    func received(_ route: RouteFrame)
    func readComplete()
}

/// A process's links to the routers, with a real `ReliableChannel` to each instance: `InstanceLink` without sockets.
final class SimulatedLink {
    private final class Channel {
        let name: String
        let head: RouteHead
        var machine: ReliableChannel<ByteBuffer>
        var isTouched = false

        init(_ name: String, from sender: String, epoch: String) {
            self.name = name
            head = RouteHead(from: sender, to: name)
            machine = ReliableChannel(epoch: epoch)
        }
    }

    unowned let network: SimulatedNetwork
    let instance: LinkInstance
    private let loop: EmbeddedEventLoop
    weak var owner: (any SimulatedLinkOwner)?
    private var sightings: [String: Sightings] = [:]
    private var known: [String: LinkInstance] = [:]
    private var channels: [String: Channel] = [:]
    private var isTickScheduled = false
    private var isCompleteTold = false
    /// The process is gone.
    var isDead = false
    /// How often channels began anew.
    private(set) var restarts = 0

    init(_ instance: LinkInstance, _ network: SimulatedNetwork, loop: EmbeddedEventLoop) {
        self.instance = instance
        self.network = network
        self.loop = loop
    }

    private var now: Int64 { network.now }

    // MARK: Sending

    func send(_ message: SessionMessage, to name: String) -> Bool {
        send(message.message(with: channel(to: name).head))
    }

    func send(_ message: ChannelMessage) -> Bool {
        guard !isDead else { return false }
        let channel = channel(to: message.head.to)
        var bytes = ByteBuffer()
        message.head.write(message, pair: Self.numberAttribute, number: 0, to: &bytes)
        let actions = channel.machine.send(bytes, bytes: message.bytes, now: now)
        if actions.isEmpty { pump(channel) } else { loop.execute { self.run(actions, on: channel) } }
        scheduleTick()
        return true
    }

    private static let numberAttribute = ByteBuffer(string: " q='")

    private func channel(to name: String) -> Channel {
        if let channel = channels[name] { return channel }
        let channel = Channel(name, from: instance.name, epoch: instance.epoch)
        channels[name] = channel
        if let seen = sightings[name] { tell(channel, of: seen, formerWays: []) }
        return channel
    }

    private func pump(_ channel: Channel) {
        guard channel.machine.isConfirmed, let way = channel.machine.way, network.isUp(self, way) else { return }
        while let (bytes, number) = channel.machine.next(), let pair = channel.machine.outgoing {
            network.put(.message(bytes, number: number, pair: pair), to: channel.name, from: self, way)
        }
    }

    // MARK: Receiving

    /// Reads all that has come over a way, or so many frames of it, as one burst.
    func read(_ frames: [SimulatedNetwork.Frame], over way: Int) {
        owner?.readBegan()
        for frame in frames { read(frame, over: way) }
        owner?.readComplete()
        let touched = channels.values.filter(\.isTouched)
        for channel in touched {
            channel.isTouched = false
            acknowledge(channel)
        }
        scheduleTick()
    }

    private func read(_ frame: SimulatedNetwork.Frame, over way: Int) {
        switch frame.content {
        case .available(let instance): see(instance.name) { $0.available(instance, over: way) }
        case .unavailable(let name): see(name) { $0.unavailable(over: way) }
        case .complete:
            guard !isCompleteTold else { return }
            isCompleteTold = true
            owner?.instancesComplete()
        case .sync(let sync):
            let channel = channel(to: frame.from)
            run(channel.machine.received(sync, over: way, now: now), on: channel)
        case .acknowledgement(let number, let pair):
            guard let channel = channels[frame.from], pair == channel.machine.outgoing else { return }
            channel.machine.acknowledged(number, now: now)
            pump(channel)
        case .message(let bytes, let number, let pair):
            guard let channel = channels[frame.from], pair == channel.machine.incoming else { return }
            take(bytes, number, from: channel)
        }
    }

    private func take(_ bytes: ByteBuffer, _ number: UInt64, from channel: Channel) {
        switch channel.machine.received(number, bytes: bytes.readableBytes, now: now) {
        case .dropped: return
        case .gap(let sync):
            if let way = channel.machine.way { network.put(.sync(sync), to: channel.name, from: self, way) }
        case .taken:
            channel.isTouched = true
            guard let tag = RouteTag(bytes.readableBytesUInt8Span),
                let route = RouteFrame(bytes, tag, end: bytes.readableBytes)
            else { fatalError("a wrapper that cannot be read: \(String(buffer: bytes))") }
            network.trace { "\(self.instance.name) <- \(channel.name): \(Self.text(route))" }
            owner?.received(route)
        }
    }

    private static func text(_ route: RouteFrame) -> String {
        let number = route.number.map { " n=\($0)" } ?? ""
        let text = String(buffer: route.content).replacing("urn:jackdaw:session:0", with: "")
        return "\(route.session.prefix(4)) \(route.attach)\(number) \(text)"
    }

    private func acknowledge(_ channel: Channel) {
        guard let number = channel.machine.burstEnded(now: now), let pair = channel.machine.incoming,
            let way = channel.machine.way
        else { return }
        network.put(.acknowledgement(number, pair: pair), to: channel.name, from: self, way)
    }

    // MARK: Ways, as `InstanceLink+Channels`

    private func see(_ name: String, _ change: (inout Sightings) -> Void) {
        var seen = sightings[name] ?? Sightings()
        let formerWays = seen.ways
        change(&seen)
        sightings[name] = seen.isEmpty ? nil : seen
        if let channel = channels[name] { tell(channel, of: seen, formerWays: formerWays) }
        if let instance = seen.current {
            announce(instance)
        } else if channels[name]?.machine.isUnused != false {
            forget(name)
        } else {
            scheduleTick()
        }
    }

    private func tell(_ channel: Channel, of seen: Sightings, formerWays: [Int]) {
        let ways = seen.ways
        if let instance = seen.current {
            for way in ways {
                run(channel.machine.pathUp(way, epoch: instance.epoch, now: now), on: channel)
            }
        }
        for way in formerWays where !ways.contains(way) {
            run(channel.machine.pathDown(way, now: now), on: channel)
        }
    }

    private func announce(_ instance: LinkInstance) {
        guard known.updateValue(instance, forKey: instance.name) != instance else { return }
        owner?.instanceAvailable(instance)
    }

    private func forget(_ name: String) {
        guard let instance = known.removeValue(forKey: name) else { return }
        owner?.instanceUnavailable(instance)
    }

    /// The link to a router is down.
    func lost(_ way: Int) {
        for name in sightings.keys.sorted() { see(name) { $0.lost(way) } }
        if !network.isUp(self) { isCompleteTold = false }
    }

    private func run(_ actions: [ReliableChannel<ByteBuffer>.Action], on channel: Channel) {
        for action in actions {
            switch action {
            case .sync(let sync, let way): network.put(.sync(sync), to: channel.name, from: self, way)
            case .restarted(let lost):
                restarts += 1
                network.trace { "\(self.instance.name): \(channel.name) begins anew, lost \(lost.count)" }
                forget(channel.name)
                if let instance = sightings[channel.name]?.current { announce(instance) }
            }
        }
        pump(channel)
        scheduleTick()
    }

    // MARK: Time

    private func scheduleTick() {
        guard !isTickScheduled, !isDead, channels.values.contains(where: \.machine.isWaiting) else { return }
        isTickScheduled = true
        let due = now + 100
        loop.scheduleTask(in: .milliseconds(100)) { self.tick(late: max(0, self.now - due)) }
    }

    private func tick(late: Int64) {
        isTickScheduled = false
        for channel in channels.values.sorted(by: { $0.name < $1.name }) {
            channel.machine.stoodStill(late)
            let changes = channel.machine.pairChanges
            run(channel.machine.tick(now: now), on: channel)
            if channel.machine.pairChanges != changes { see(channel.name) { $0.doubt() } }
            acknowledge(channel)
        }
        scheduleTick()
    }
}
