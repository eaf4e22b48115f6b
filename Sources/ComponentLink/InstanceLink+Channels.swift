// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import XML
import XMPPCore

/// The reliable channels of a link (`docs/protocols.md`, section 4): one for each instance that something about a session
/// was said to, or that said it.
///
/// The delegate sees instances, not ways: one that is away for a moment stays available; one whose channel begins anew is
/// unavailable, and available again if it is there. The links to the routers are the channels' ways, by their numbers.
/// Confined to the link's event loop.
extension InstanceLink {
    /// How often channels that wait are looked at.
    private static let tickInterval = TimeAmount.milliseconds(100)

    private var now: Int64 { Int64(self.eventLoop.now.uptimeNanoseconds / 1_000_000) }

    // MARK: Sending

    func channel(to instance: String) -> PeerChannel {
        if let lastChannel, lastChannel.name == instance { return lastChannel }
        let channel = self.channels[instance] ?? self.makeChannel(to: instance)
        self.lastChannel = channel
        return channel
    }

    private func makeChannel(to instance: String) -> PeerChannel {
        let identity = self.configuration.identity
        let channel = PeerChannel(
            from: identity.name,
            to: instance,
            epoch: identity.declaration.epoch,
            limits: self.configuration.channel
        )
        self.channels[instance] = channel
        if let seen = self.sightings[instance] { self.tell(channel, of: seen, formerWays: []) }
        return channel
    }

    func send(_ message: ChannelMessage, through channel: PeerChannel) -> Bool {
        guard message.bytes <= self.configuration.elementBytes else {
            self.logger.error("an element is too long for the link", metadata: ["peer": "\(channel.name)"])
            return false
        }
        let actions = channel.machine.send(message, bytes: message.bytes, now: self.now)
        if actions.isEmpty {
            self.pump(channel)
        } else {
            // The caller may be in the middle of anything.
            self.eventLoop.assumeIsolated().execute { self.run(actions, on: channel) }
        }
        self.scheduleTick()
        return true
    }

    /// Sends what is to be sent, as far as the link takes it; the rest follows by and by.
    private func pump(_ channel: PeerChannel) {
        if channel.machine.isConfirmed, let connection = self.connection(of: channel) {
            let limit = self.configuration.queueBytes / 2
            while connection.isUp, connection.queuedBytes < limit, let next = channel.machine.next() {
                _ = connection.write {
                    next.message.head.write(next.message, pair: channel.attribute, number: next.number, to: &$0)
                }
            }
        }
        self.count(channel)
    }

    /// The link over which the channel speaks.
    private func connection(of channel: PeerChannel) -> RouterConnection? {
        let way = channel.machine.way
        if channel.connection?.id != way { channel.connection = self.connections.first { $0.id == way } }
        return channel.connection
    }

    private func count(_ channel: PeerChannel) {
        let bytes = channel.machine.keptBytes
        self.keptBytes += bytes - channel.countedBytes
        channel.countedBytes = bytes
    }

    private func say(_ word: ChannelWord, to channel: PeerChannel, pair: [UInt8], over connection: RouterConnection?) {
        _ = connection?.write { word.write(with: channel.head, pair: pair, into: &$0) }
    }

    // MARK: Receiving

    /// A wrapper of a channel came; true: it is a message, the next one.
    func takes(_ route: RouteFrame, over connection: RouterConnection) -> Bool {
        // What came back is sent again when there is a way.
        guard !route.isUnreachable else { return false }
        guard let sequence = route.sequence else {
            self.hears(route, over: connection)
            return false
        }
        guard let channel = self.channel(of: route), route.isOfChannel(channel.incoming) else { return false }
        switch channel.machine.received(sequence, bytes: route.bytes.readableBytes, now: self.now) {
        case .dropped: return false
        case .gap(let sync):
            self.say(.sync(sync), to: channel, pair: [], over: self.connection(of: channel))
            self.scheduleTick()
            return false
        case .taken:
            if !channel.isTouched {
                channel.isTouched = true
                self.touchedChannels.append(channel)
            }
            return true
        }
    }

    private func channel(of route: RouteFrame) -> PeerChannel? {
        if let lastChannel, route.isFrom(lastChannel.nameBytes) { return lastChannel }
        let channel = self.channels[route.from]
        if channel != nil { self.lastChannel = channel }
        return channel
    }

    /// The channel's own words.
    private func hears(_ route: RouteFrame, over connection: RouterConnection) {
        do throws(LinkFault) {
            guard let inner = route.inner(), inner.namespace == Namespace.channel else { throw .noPayload }
            switch try ChannelWord(inner) {
            case .sync(let sync):
                let channel = self.channel(to: route.from)
                self.follow(channel) { $0.received(sync, over: connection.id, now: self.now) }
            case .acknowledged(let number):
                guard let channel = self.channel(of: route), route.isOfChannel(channel.outgoing) else { return }
                channel.machine.acknowledged(number, now: self.now)
                self.pump(channel)
            }
        } catch {
            self.logger.warning("dropped an element of the link", metadata: ["reason": "\(error)"])
        }
    }

    /// A burst is over: what it brought may be acknowledged.
    func channelBurstEnded() {
        guard !self.touchedChannels.isEmpty else { return }
        let touched = self.touchedChannels
        self.touchedChannels.removeAll(keepingCapacity: true)
        for channel in touched {
            channel.isTouched = false
            self.acknowledge(channel)
        }
        self.scheduleTick()
    }

    private func acknowledge(_ channel: PeerChannel) {
        guard let number = channel.machine.burstEnded(now: self.now) else { return }
        let connection = self.connection(of: channel)
        self.say(.acknowledged(number), to: channel, pair: channel.incoming, over: connection)
    }

    // MARK: Ways

    /// A router told something of a name.
    func see(_ name: String, _ change: (inout Sightings) -> Void) {
        var seen = self.sightings[name] ?? Sightings()
        let formerWays = seen.ways
        change(&seen)
        self.sightings[name] = seen.isEmpty ? nil : seen
        if let channel = self.channels[name] { self.tell(channel, of: seen, formerWays: formerWays) }
        if let instance = seen.current {
            self.announce(instance)
        } else if self.channels[name]?.machine.isUnused != false {
            self.forget(name)
        } else {
            self.scheduleTick()
        }
    }

    /// Tells a channel which ways there are now.
    private func tell(_ channel: PeerChannel, of seen: Sightings, formerWays: [Int]) {
        let ways = seen.ways
        if let instance = seen.current, instance.kind == .internal {
            for way in ways {
                self.follow(channel) { $0.pathUp(way, epoch: instance.epoch, now: self.now) }
            }
        }
        for way in formerWays where !ways.contains(way) {
            self.follow(channel) { $0.pathDown(way, now: self.now) }
        }
    }

    /// Has the channel decide, and does what it decided; where it left a way, the link is not trusted until it is heard.
    private func follow(
        _ channel: PeerChannel,
        _ body: (inout ReliableChannel<ChannelMessage>) -> [ReliableChannel<ChannelMessage>.Action]
    ) {
        let wasConfirmed = channel.machine.isConfirmed
        let before = self.connection(of: channel)
        let actions = body(&channel.machine)
        let after = self.connection(of: channel)
        if let before, let after, before !== after, channel.machine.isConfirmed || wasConfirmed {
            self.switches += 1
            if self.sightings[channel.name]?.ways.contains(before.id) == true { before.isSuspect = before.isUp }
            self.logger.info(
                "channel goes on over another router",
                metadata: ["peer": "\(channel.name)", "router": "\(after.address)"]
            )
        }
        self.run(actions, on: channel)
    }

    private func announce(_ instance: LinkInstance) {
        guard self.known.updateValue(instance, forKey: instance.name) != instance else { return }
        self.delegate?.link(self, instanceAvailable: instance)
    }

    /// The link to a router is down.
    func waysLost(over connection: RouterConnection) {
        for name in Array(self.sightings.keys) { self.see(name) { $0.lost(connection.id) } }
    }

    private func forget(_ name: String) {
        guard let instance = self.known.removeValue(forKey: name) else { return }
        self.delegate?.link(self, instanceUnavailable: instance)
    }

    private func run(_ actions: [ReliableChannel<ChannelMessage>.Action], on channel: PeerChannel) {
        for action in actions {
            switch action {
            case .sync(let sync, let way):
                let connection = self.connections.first { $0.id == way }
                self.say(.sync(sync), to: channel, pair: [], over: connection)
            case .restarted(let lost):
                self.logger.info("channel begins anew", metadata: ["peer": "\(channel.name)", "lost": "\(lost.count)"])
                self.forget(channel.name)
                if let instance = self.sightings[channel.name]?.current { self.announce(instance) }
            }
        }
        self.pump(channel)
        self.scheduleTick()
    }

    // MARK: Time

    /// Before anything is read. A process that stood still for long may have been given up by those who wait for it, and
    /// what they had sent it before is still in its sockets.
    func lookAtClock() {
        let now = NIODeadline.now()
        let late = now - self.lastSeen
        self.lastSeen = now
        guard late >= .milliseconds(self.configuration.channel.standstill) else { return }
        self.logger.notice(
            "this process stood still: other processes are asked what they still mean for it",
            metadata: ["milliseconds": "\(late.nanoseconds / 1_000_000)"]
        )
        for channel in Array(self.channels.values) { self.follow(channel) { $0.doubt(now: self.now) } }
    }

    private func scheduleTick() {
        guard !self.isTickScheduled, !self.isStopped else { return }
        guard self.channels.values.contains(where: \.machine.isWaiting) else { return }
        self.isTickScheduled = true
        let due = NIODeadline.now() + Self.tickInterval
        self.eventLoop.assumeIsolated().scheduleTask(in: Self.tickInterval) {
            self.isTickScheduled = false
            self.lookAtClock()
            let late = (NIODeadline.now() - due).nanoseconds / 1_000_000
            for channel in Array(self.channels.values) {
                channel.machine.stoodStill(late)
                let changes = channel.machine.pairChanges
                self.follow(channel) { $0.tick(now: self.now) }
                // One that gives no answer may be gone, and a router that stood still tell of it.
                if channel.machine.pairChanges != changes { self.see(channel.name) { $0.doubt() } }
                self.acknowledge(channel)
            }
            self.scheduleTick()
        }
    }
}
