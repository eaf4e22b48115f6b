// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Glibc
import TestSupport
import Testing

@Suite("The reliable channel")
struct ReliableChannelTests {
    typealias Channel = ReliableChannel<String>

    // MARK: By hand

    @Test("Messages wait until the other end knows us, and are numbered from 1")
    func firstContact() {
        var channel = Channel(epoch: "a")
        #expect(channel.send("one", bytes: 3, now: 0).texts == [])
        #expect(channel.pathUp(1, epoch: "b", now: 0).texts == ["sync a.0 to ? have 0 ask 1"])
        // It does not know us yet: it is told who we are.
        #expect(
            channel.received(.init(me: Self.peer, you: nil, have: 0), over: 1, now: 0).texts == [
                "sync a.0 to b.0 have 0"
            ]
        )
        #expect(channel.all == [])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 0), over: 1, now: 0).texts == [])
        #expect(channel.all == ["1 one"])
        #expect(channel.send("two", bytes: 3, now: 0).texts == [])
        #expect(channel.all == ["2 two"])
        #expect(channel.outgoing == Pair(from: Self.me, to: Self.peer))
        #expect(channel.keptBytes == 6)
        channel.acknowledged(1, now: 0)
        #expect(channel.keptBytes == 3)
        // What was never sent cannot be acknowledged.
        channel.acknowledged(9, now: 0)
        #expect(channel.keptBytes == 3)
    }

    @Test("What was not acknowledged goes again over the next way, but not what the other end has")
    func nextWay() {
        var channel = Self.confirmed()
        for text in ["one", "two", "three"] { _ = channel.send(text, bytes: 1, now: 0) }
        #expect(channel.all == ["1 one", "2 two", "3 three"])
        _ = channel.pathDown(1, now: 10)
        _ = channel.send("four", bytes: 1, now: 20)
        #expect(channel.all == [])
        #expect(channel.pathUp(1, epoch: "b", now: 30).texts == ["sync a.0 to b.0 have 0 ask 2"])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 2), over: 1, now: 40).texts == [])
        #expect(channel.all == ["3 three", "4 four"])
    }

    @Test("A message that came already is dropped, one that comes too early asks for those before it, once")
    func receiving() {
        var channel = Self.confirmed()
        #expect(channel.received(1, bytes: 1, now: 0) == .taken)
        #expect(channel.received(1, bytes: 1, now: 0) == .dropped)
        let gap = Channel.Sync(me: Self.me, you: Self.peer, have: 1, isGap: true)
        #expect(channel.received(3, bytes: 1, now: 0) == .gap(gap))
        #expect(channel.received(4, bytes: 1, now: 0) == .dropped)
        #expect(channel.received(2, bytes: 1, now: 0) == .taken)
        #expect(channel.incoming == Pair(from: Self.peer, to: Self.me))
    }

    @Test("An end that is told of a gap sends all after it again")
    func gap() {
        var channel = Self.confirmed()
        for text in ["one", "two", "three"] { _ = channel.send(text, bytes: 1, now: 0) }
        _ = channel.all
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 1), over: 1, now: 0).texts == [])
        #expect(channel.all == [])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 1, isGap: true), over: 1, now: 0).texts == [])
        #expect(channel.all == ["2 two", "3 three"])
    }

    @Test("A gap that nothing fills is told again, one that is being filled is not")
    func gapAgain() {
        var channel = Self.confirmed()
        let gap = Channel.Sync(me: Self.me, you: Self.peer, have: 0, isGap: true)
        #expect(channel.received(3, bytes: 1, now: 0) == .gap(gap))
        #expect(channel.isWaiting)
        #expect(channel.tick(now: 249).texts == [])
        #expect(channel.tick(now: 250).texts == ["sync a.0 to b.0 have 0 gap"])
        #expect(channel.received(1, bytes: 1, now: 300) == .taken)
        // What came another way, before its turn, has nothing to add.
        #expect(channel.received(9, bytes: 1, now: 300) == .dropped)
        #expect(channel.tick(now: 500).texts == [])
        #expect(channel.tick(now: 750).texts == ["sync a.0 to b.0 have 1 gap"])
        #expect(channel.received(2, bytes: 1, now: 750) == .taken)
        #expect(channel.received(3, bytes: 1, now: 750) == .taken)
        #expect(channel.tick(now: 9_000).texts == [])
    }

    // MARK: Several ways

    @Test("When its way is gone, the channel asks over the others, and goes on with what the answer does not have")
    func anotherWay() {
        var channel = Self.confirmed()
        #expect(channel.pathUp(2, epoch: "b", now: 0).texts == [], "it stays on its way")
        for text in ["one", "two"] { _ = channel.send(text, bytes: 1, now: 0) }
        #expect(channel.all == ["1 one", "2 two"])
        #expect(channel.pathDown(1, now: 10).texts == ["sync a.0 to b.0 have 0 ask 2 over 2"])
        #expect(channel.way == 2 && channel.all == [])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 1), over: 2, now: 20).texts == [])
        #expect(channel.all == ["2 two"])
        #expect(channel.pathDown(2, now: 30).texts == [])
        #expect(channel.way == nil)
    }

    @Test("After a second without an acknowledgement all ways are asked, and the first that is answered is the way")
    func half() {
        var channel = Self.confirmed()
        _ = channel.pathUp(2, epoch: "b", now: 0)
        _ = channel.pathUp(3, epoch: "b", now: 0)
        _ = channel.send("one", bytes: 1, now: 100)
        #expect(channel.all == ["1 one"])
        #expect(channel.tick(now: 1_099).texts == [])
        let question = ["", " over 2", " over 3"].map { "sync a.0 to b.0 have 0 ask 2" + $0 }
        #expect(channel.tick(now: 1_100).texts == question)
        // The question is no news, and what the limit of silence counts goes on.
        #expect(channel.tick(now: 2_000).texts == [])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 0), over: 3, now: 2_000).texts == [])
        #expect(channel.way == 3 && channel.all == ["1 one"])
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 0), over: 1, now: 2_000).texts == [])
        #expect(channel.way == 3, "a later answer changes nothing")
        #expect(channel.tick(now: 5_100).texts.first == "restarted one")
    }

    @Test("With one way there is nothing to ask; a question that was not answered is asked again")
    func oneWay() {
        var channel = Self.confirmed()
        _ = channel.send("one", bytes: 1, now: 0)
        #expect(channel.tick(now: 4_999).texts == [])
        var fresh = Channel(epoch: "a")
        #expect(fresh.pathUp(1, epoch: "b", now: 0).texts == ["sync a.0 to ? have 0 ask 1"])
        #expect(fresh.tick(now: 1_000).texts == ["sync a.0 to ? have 0 ask 2"])
    }

    @Test("A question is answered over its way, and moves this end there, unless it comes late")
    func asked() {
        var channel = Self.confirmed()
        _ = channel.pathUp(2, epoch: "b", now: 0)
        _ = channel.send("one", bytes: 1, now: 0)
        #expect(channel.all == ["1 one"])
        let question = Channel.Sync(me: Self.peer, you: Self.me, have: 0, ask: 4)
        #expect(channel.received(question, over: 2, now: 10).texts == ["sync a.0 to b.0 have 0 over 2"])
        #expect(channel.way == 2 && channel.all == ["1 one"])
        #expect(channel.received(question, over: 1, now: 20).texts == ["sync a.0 to b.0 have 0"])
        #expect(channel.way == 2 && channel.all == [])
    }

    @Test("Another start of the other end voids the ways to the former one")
    func restartOnTwoWays() {
        var channel = Self.confirmed()
        _ = channel.pathUp(2, epoch: "b", now: 0)
        #expect(channel.pathUp(2, epoch: "c", now: 0).texts == ["restarted", "sync a.0 to ? have 0 ask 2 over 2"])
        #expect(channel.way == 2)
        #expect(channel.received(.init(me: Self.peer, you: Self.me, have: 0), over: 1, now: 0).texts == [])
        #expect(channel.pathDown(1, now: 0).texts == [])
        #expect(channel.way == 2)
    }

    // MARK: Receiving

    @Test("Acknowledgements come with the burst that makes enough of them, or after a while")
    func acknowledging() {
        var limits = ChannelLimits()
        limits.acknowledgeEvery = 2
        limits.acknowledgeEveryBytes = 10
        var channel = Self.confirmed(limits)
        _ = channel.received(1, bytes: 1, now: 0)
        #expect(channel.burstEnded(now: 0) == nil)
        #expect(channel.isWaiting)
        #expect(channel.burstEnded(now: 100) == 1)
        #expect(!channel.isWaiting)
        _ = channel.received(2, bytes: 1, now: 100)
        _ = channel.received(3, bytes: 1, now: 100)
        #expect(channel.burstEnded(now: 100) == 3)
        _ = channel.received(4, bytes: 10, now: 100)
        #expect(channel.burstEnded(now: 100) == 4)
    }

    @Test("Another start of the other end is told with what it may not have, and gets none of it")
    func restart() {
        var channel = Self.confirmed()
        _ = channel.send("one", bytes: 1, now: 0)
        _ = channel.all
        _ = channel.pathDown(1, now: 0)
        _ = channel.send("two", bytes: 1, now: 0)
        #expect(channel.pathUp(1, epoch: "c", now: 1).texts == ["restarted one two", "sync a.1 to ? have 0 ask 2"])
        #expect(channel.keptBytes == 0)
    }

    @Test("An end that is away too long, acknowledges nothing, or has too much waiting for it, counts as restarted")
    func silence() {
        var limits = ChannelLimits()
        limits.bytes = 10
        var away = Self.confirmed(limits)
        _ = away.send("one", bytes: 1, now: 0)
        _ = away.all
        _ = away.pathDown(1, now: 1_000)
        #expect(away.tick(now: 4_999).texts == [])
        #expect(away.tick(now: 5_000).texts == ["restarted one"])
        var silent = Self.confirmed(limits)
        _ = silent.send("one", bytes: 1, now: 0)
        _ = silent.all
        #expect(silent.tick(now: 5_000).texts == ["restarted one", "sync a.1 to ? have 0 ask 2"])
        // Time in which this process stood still is not the other one's silence.
        var stopped = Self.confirmed(limits)
        _ = stopped.send("one", bytes: 1, now: 0)
        stopped.stoodStill(4_000)
        #expect(stopped.tick(now: 8_999).texts == [])
        #expect(stopped.tick(now: 9_000).texts == ["restarted one", "sync a.0 to ? have 0 ask 2"])
        var full = Self.confirmed(limits)
        _ = full.send("one", bytes: 10, now: 0)
        _ = full.all
        #expect(full.send("two", bytes: 1, now: 0).texts == ["restarted one two", "sync a.1 to ? have 0 ask 2"])
    }

    @Test("After a long stand-still nothing is taken until the other end has answered that it still means us")
    func doubt() {
        var channel = Self.confirmed()
        #expect(channel.received(1, bytes: 1, now: 0) == .taken)
        #expect(channel.doubt(now: 9_000).texts == ["sync a.0 to b.0 have 1 gap ask 2"])
        #expect(channel.received(2, bytes: 1, now: 9_000) == .dropped)
        // An answer to an older question may be as old as the messages.
        let old = Channel.Sync(me: Self.peer, you: Self.me, have: 0, answers: 1)
        #expect(channel.received(old, over: 1, now: 9_000).texts == [])
        #expect(channel.received(2, bytes: 1, now: 9_000) == .dropped)
        let answer = Channel.Sync(me: Self.peer, you: Self.me, have: 0, answers: 2)
        #expect(channel.received(answer, over: 1, now: 9_000).texts == [])
        #expect(channel.received(2, bytes: 1, now: 9_000) == .taken)
    }

    @Test("An answer names its question")
    func answer() throws {
        var channel = Self.confirmed()
        let question = Channel.Sync(me: Self.peer, you: Self.me, have: 0, isGap: true, ask: 7)
        guard case .sync(let sync, _)? = channel.received(question, over: 1, now: 0).first else {
            Issue.record("no answer")
            return
        }
        #expect(sync.answers == 7)
    }

    private static let me = Incarnation(epoch: "a", generation: 0)
    private static let peer = Incarnation(epoch: "b", generation: 0)

    private static func confirmed(_ limits: ChannelLimits = .init()) -> Channel {
        var channel = Channel(epoch: "a", limits: limits)
        _ = channel.pathUp(1, epoch: "b", now: 0)
        _ = channel.received(.init(me: peer, you: me, have: 0), over: 1, now: 0)
        return channel
    }

    // MARK: By simulation

    /// How many schedules are tried; `JACKDAW_SCHEDULES` asks for more.
    private static let schedules =
        unsafe getenv("JACKDAW_SCHEDULES").flatMap { unsafe Int(String(cString: $0)) } ?? 4_000

    @Test(
        "Whatever breaks, no message comes twice or out of order, and none is gone without a word",
        arguments: [1, 2, 3]
    )
    func anythingBreaks(routers: Int) {
        for seed in 0..<Self.schedules {
            var random = SeededGenerator(seed: UInt64(seed) | UInt64(routers) << 48)
            var world = ChannelWorld(routers: routers)
            if seed % 2 == 0 { world.rest() }
            for _ in 0..<random.below(120) { Self.step(&world, &random, mayRestart: true, longest: 3_000) }
            world.rest()
            #expect(world.fault == nil, "schedule \(seed)")
            guard world.fault == nil else { return }
        }
    }

    @Test(
        "While both processes live and links come back in time, nothing is lost and nobody restarts",
        arguments: [1, 2, 3]
    )
    func linksBreak(routers: Int) {
        for seed in 0..<Self.schedules {
            var random = SeededGenerator(seed: UInt64(seed) | 1 << 40 | UInt64(routers) << 48)
            var world = ChannelWorld(routers: routers)
            world.rest()
            for _ in 0..<random.below(120) { Self.step(&world, &random, mayRestart: false, longest: 20) }
            world.rest()
            #expect(world.fault == nil, "schedule \(seed)")
            #expect(world.restarts == 0, "schedule \(seed)")
            guard world.fault == nil, world.restarts == 0 else { return }
        }
    }

    @Test("While one of two routers works, nobody restarts, whatever becomes of the other and however long")
    func oneRouterWorks() {
        for seed in 0..<Self.schedules {
            var random = SeededGenerator(seed: UInt64(seed) | 3 << 40)
            var world = ChannelWorld(routers: 2)
            world.rest()
            // The other one works next; what it has is not its own fault.
            for victim in [0, 1, 0] {
                for _ in 0..<random.below(60) { Self.stepOfOne(&world, &random, victim: victim) }
                world.rest()
            }
            #expect(world.fault == nil, "schedule \(seed)")
            #expect(world.restarts == 0, "schedule \(seed)")
            guard world.fault == nil, world.restarts == 0 else { return }
        }
    }

    @Test("A channel that is full begins anew, and goes on", arguments: [1, 2])
    func full(routers: Int) {
        var limits = ChannelLimits()
        limits.bytes = 5
        for seed in 0..<Self.schedules {
            var random = SeededGenerator(seed: UInt64(seed) | 2 << 40 | UInt64(routers) << 48)
            var world = ChannelWorld(limits: limits, routers: routers)
            if seed % 2 == 0 { world.rest() }
            for _ in 0..<random.below(120) { Self.step(&world, &random, mayRestart: true, longest: 3_000) }
            world.rest()
            #expect(world.fault == nil, "schedule \(seed)")
            guard world.fault == nil else { return }
        }
    }

    private static func step(
        _ world: inout ChannelWorld,
        _ random: inout SeededGenerator,
        mayRestart: Bool,
        longest: Int
    ) {
        let end = random.below(2)
        let router = random.below(world.routers)
        switch random.below(25) {
        case 0...4: world.send(from: end)
        case 5...8: world.route(from: end, router)
        case 9...12: world.read(end, router)
        case 13: world.endBurst(end)
        case 14: world.link(end, router)
        case 15: world.unlink(end, router, routerReads: random.below(4), endReads: random.below(4))
        case 16: world.pass(Int64(random.below(longest)))
        case 17:
            // The router dies: both links at once.
            world.frozen.remove(router)
            for end in 0...1 { world.unlink(end, router, routerReads: random.below(3), endReads: random.below(3)) }
        case 18 where mayRestart: world.restart(end, routerReads: random.below(3))
        case 19, 20: world.settle()
        case 21: world.frozen.formSymmetricDifference([router])
        case 22: world.doubt(end)
        default: for end in 0...1 { world.link(end, router) }
        }
    }

    /// Only the links to one router, and the router itself, have faults; the other one is quick.
    private static func stepOfOne(_ world: inout ChannelWorld, _ random: inout SeededGenerator, victim: Int) {
        let end = random.below(2)
        switch random.below(14) {
        case 0...3: world.send(from: end)
        case 4: world.link(end, victim)
        case 5:
            let reads = world.frozen.contains(victim) ? 0 : random.below(4)
            world.unlink(end, victim, routerReads: reads, endReads: reads)
        case 6:
            for end in 0...1 { world.unlink(end, victim, routerReads: 0, endReads: 0) }
            world.frozen.remove(victim)
        case 7: world.frozen.formSymmetricDifference([victim])
        case 8: world.route(from: end, victim)
        case 9: world.read(end, victim)
        default:
            for _ in 0..<random.below(100) {
                world.pass(100)
                for end in 0...1 {
                    while !world.ends[end].links[1 - victim].toRouter.isEmpty { world.route(from: end, 1 - victim) }
                }
                for end in 0...1 {
                    while !world.ends[end].links[1 - victim].fromRouter.isEmpty { world.read(end, 1 - victim) }
                    world.endBurst(end)
                }
            }
        }
    }
}

extension [ReliableChannel<String>.Action] {
    /// The actions as words.
    fileprivate var texts: [String] {
        map { action in
            switch action {
            case .sync(let sync, let way):
                "sync \(sync.me.text) to \(sync.you?.text ?? "?") have \(sync.have)" + (sync.isGap ? " gap" : "")
                    + (sync.ask.map { " ask \($0)" } ?? "") + (way == 1 ? "" : " over \(way)")
            case .restarted(let lost): (["restarted"] + lost).joined(separator: " ")
            }
        }
    }
}

extension ReliableChannel<String> {
    /// All that is to be sent now, each with its number.
    fileprivate var all: [String] {
        mutating get {
            var texts: [String] = []
            while let (message, number) = next() { texts.append("\(number) \(message)") }
            return texts
        }
    }
}

extension Incarnation {
    fileprivate var text: String { "\(epoch).\(generation)" }
}
