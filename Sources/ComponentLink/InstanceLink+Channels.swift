// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import XML
import XMPPCore

/// The reliable channels of a link (`docs/protocols.md`, section 4): one for each instance that something about a session
/// was said to, or that said it.
///
/// The delegate sees instances, not ways: one that is away for a moment stays available; one whose channel begins anew is
/// unavailable, and available again if it is there. Confined to the link's event loop.
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
        if self.isUp, let there = self.instances[instance] {
            self.run(channel.machine.pathUp(epoch: there.epoch, now: self.now), on: channel)
        }
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
        while self.isUp, self.queuedBytes < self.configuration.queueBytes / 2, let next = channel.machine.next() {
            _ = self.write {
                next.message.head.write(next.message, pair: channel.attribute, number: next.number, to: &$0)
            }
        }
        self.count(channel)
    }

    private func count(_ channel: PeerChannel) {
        let bytes = channel.machine.keptBytes
        self.keptBytes += bytes - channel.countedBytes
        channel.countedBytes = bytes
    }

    private func say(_ word: ChannelWord, to channel: PeerChannel, pair: [UInt8]) {
        guard self.isUp else { return }
        _ = self.write { word.write(with: channel.head, pair: pair, into: &$0) }
    }

    // MARK: Receiving

    /// A wrapper of a channel came; true: it is a message, the next one.
    func takes(_ route: RouteFrame) -> Bool {
        // What came back is sent again when there is a way.
        guard !route.isUnreachable else { return false }
        guard let sequence = route.sequence else {
            self.hears(route)
            return false
        }
        guard let channel = self.channel(of: route), route.isOfChannel(channel.incoming) else { return false }
        switch channel.machine.received(sequence, bytes: route.bytes.readableBytes, now: self.now) {
        case .dropped: return false
        case .gap(let sync):
            self.say(.sync(sync), to: channel, pair: [])
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
    private func hears(_ route: RouteFrame) {
        do throws(LinkFault) {
            guard let inner = route.inner(), inner.namespace == Namespace.channel else { throw .noPayload }
            switch try ChannelWord(inner) {
            case .sync(let sync):
                let channel = self.channel(to: route.from)
                self.run(channel.machine.received(sync, now: self.now), on: channel)
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
        self.say(.acknowledged(number), to: channel, pair: channel.incoming)
    }

    // MARK: Ways

    /// The router announced an instance or a component.
    func wayFound(to instance: LinkInstance) {
        if instance.kind == .internal, let channel = self.channels[instance.name] {
            self.run(channel.machine.pathUp(epoch: instance.epoch, now: self.now), on: channel)
        }
        self.announce(instance)
    }

    private func announce(_ instance: LinkInstance) {
        guard self.known.updateValue(instance, forKey: instance.name) != instance else { return }
        self.delegate?.link(self, instanceAvailable: instance)
    }

    /// The router says that it is gone, or we are cut off from it.
    func wayLost(to name: String) {
        if let channel = self.channels[name], !channel.machine.isUnused {
            channel.machine.pathDown(now: self.now)
            return self.scheduleTick()
        }
        self.channels[name]?.machine.pathDown(now: self.now)
        self.forget(name)
    }

    /// The link is down.
    func waysLost() {
        for name in Array(self.known.keys) { self.wayLost(to: name) }
    }

    private func forget(_ name: String) {
        guard let instance = self.known.removeValue(forKey: name) else { return }
        self.delegate?.link(self, instanceUnavailable: instance)
    }

    private func run(_ actions: [ReliableChannel<ChannelMessage>.Action], on channel: PeerChannel) {
        for action in actions {
            switch action {
            case .sync(let sync):
                self.say(.sync(sync), to: channel, pair: [])
            case .restarted(let lost):
                self.logger.info("channel begins anew", metadata: ["peer": "\(channel.name)", "lost": "\(lost.count)"])
                self.forget(channel.name)
                if let instance = self.instances[channel.name] { self.announce(instance) }
            }
        }
        self.pump(channel)
        self.scheduleTick()
    }

    // MARK: Time

    private func scheduleTick() {
        guard !self.isTickScheduled, !self.isStopped else { return }
        guard self.channels.values.contains(where: \.machine.isWaiting) else { return }
        self.isTickScheduled = true
        let due = NIODeadline.now() + Self.tickInterval
        self.eventLoop.assumeIsolated().scheduleTask(in: Self.tickInterval) {
            self.isTickScheduled = false
            let late = (NIODeadline.now() - due).nanoseconds / 1_000_000
            for channel in Array(self.channels.values) {
                channel.machine.stoodStill(late)
                self.run(channel.machine.tick(now: self.now), on: channel)
                self.acknowledge(channel)
            }
            self.scheduleTick()
        }
    }
}
