// SPDX-License-Identifier: Apache-2.0

@testable import ComponentLink

/// Two instances with a reliable channel, routers between them, and a hand that breaks things: the links, the routers, the
/// processes, at any step, or makes a router stand still. What is on its way is lost as it is with sockets: all of it from
/// some point on.
struct ChannelWorld {
    /// A message: the nth of a start of a process.
    struct Note: Hashable, CustomStringConvertible {
        var start: Int
        var number: Int

        var description: String { "\(start)#\(number)" }
    }

    enum Frame {
        case sync(ReliableChannel<Note>.Sync)
        case message(Note, number: UInt64, pair: Pair)
        case acknowledgement(UInt64, pair: Pair)
        case available(epoch: String)
        case unavailable
    }

    /// An end's link to one router.
    struct Link {
        var isUp = false
        var toRouter: [Frame] = []
        var fromRouter: [Frame] = []
    }

    struct End {
        /// Which start of a process this is; no two in the world are equal.
        var start: Int
        var channel: ReliableChannel<Note>
        var links: [Link]
        var sightings = Sightings()
        var sent = 0

        init(start: Int, limits: ChannelLimits, routers: Int) {
            self.start = start
            self.channel = ReliableChannel(epoch: "epoch-\(start)", limits: limits)
            self.links = Array(repeating: Link(), count: routers)
        }
    }

    var limits = ChannelLimits()
    let routers: Int
    var ends: [End]
    var now: Int64 = 1_000
    /// Routers that stand still.
    var frozen: Set<Int> = []
    private var starts = 2

    /// What was taken by a start of a process, in order, by the start that sent it.
    private var taken: [Int: [Int: [Int]]] = [:]
    private(set) var delivered: Set<Note> = []
    private(set) var lost: Set<Note> = []
    /// How often an end was told that the other one restarted.
    private(set) var restarts = 0
    /// Messages that were put on their way, each copy of them.
    private(set) var copies = 0
    /// The first broken promise.
    private(set) var fault: String?

    init(limits: ChannelLimits = .init(), routers: Int = 1) {
        self.limits = limits
        self.routers = routers
        self.ends = (0...1).map { End(start: $0, limits: limits, routers: routers) }
    }

    // MARK: What happens

    mutating func send(from end: Int) {
        ends[end].sent += 1
        let note = Note(start: ends[end].start, number: ends[end].sent)
        run(ends[end].channel.send(note, bytes: 1, now: now), at: end)
    }

    /// The end's process notices that it stood still for long.
    mutating func doubt(_ end: Int) { run(ends[end].channel.doubt(now: now), at: end) }

    mutating func link(_ end: Int, _ router: Int) {
        guard !ends[end].links[router].isUp else { return }
        ends[end].links[router].isUp = true
        let other = 1 - end
        guard ends[other].links[router].isUp else { return }
        ends[end].links[router].fromRouter.append(.available(epoch: "epoch-\(ends[other].start)"))
        ends[other].links[router].fromRouter.append(.available(epoch: "epoch-\(ends[end].start)"))
    }

    /// The link breaks: of what is on its way some is still read.
    mutating func unlink(_ end: Int, _ router: Int, routerReads: Int, endReads: Int) {
        guard ends[end].links[router].isUp else { return }
        for _ in 0..<min(routerReads, ends[end].links[router].toRouter.count) { route(from: end, router) }
        for _ in 0..<min(endReads, ends[end].links[router].fromRouter.count) { read(end, router) }
        ends[end].links[router] = Link()
        see(at: end) { $0.lost(router) }
        if ends[1 - end].links[router].isUp { ends[1 - end].links[router].fromRouter.append(.unavailable) }
    }

    /// The process ends and is started anew; its links are gone.
    mutating func restart(_ end: Int, routerReads: Int) {
        for router in 0..<routers { unlink(end, router, routerReads: routerReads, endReads: 0) }
        ends[end] = End(start: starts, limits: limits, routers: routers)
        starts += 1
    }

    mutating func route(from end: Int, _ router: Int) {
        guard ends[end].links[router].isUp, !frozen.contains(router), !ends[end].links[router].toRouter.isEmpty else {
            return
        }
        let frame = ends[end].links[router].toRouter.removeFirst()
        // What cannot be placed goes back, and the channel does not care.
        if ends[1 - end].links[router].isUp { ends[1 - end].links[router].fromRouter.append(frame) }
    }

    mutating func read(_ end: Int, _ router: Int) {
        // A router that stands still tells nothing, not even what it knows.
        guard ends[end].links[router].isUp, !frozen.contains(router), !ends[end].links[router].fromRouter.isEmpty else {
            return
        }
        switch ends[end].links[router].fromRouter.removeFirst() {
        case .available(let epoch):
            see(at: end) {
                $0.available(LinkInstance(name: "x", epoch: epoch, kind: .internal, names: []), over: router)
            }
        case .unavailable:
            see(at: end) { $0.unavailable(over: router) }
        case .sync(let sync):
            run(ends[end].channel.received(sync, over: router, now: now), at: end)
        case .message(let note, let number, let pair):
            guard pair == ends[end].channel.incoming else { return }
            switch ends[end].channel.received(number, bytes: 1, now: now) {
            case .taken: take(note, at: ends[end].start)
            case .dropped: break
            case .gap(let sync): say(.sync(sync), from: end)
            }
        case .acknowledgement(let number, let pair):
            if pair == ends[end].channel.outgoing { ends[end].channel.acknowledged(number, now: now) }
        }
    }

    /// As `InstanceLink` does: the channel is told of the ways that there are now.
    private mutating func see(at end: Int, _ change: (inout Sightings) -> Void) {
        let former = ends[end].sightings.ways
        change(&ends[end].sightings)
        let ways = ends[end].sightings.ways
        if let epoch = ends[end].sightings.current?.epoch {
            for way in ways { run(ends[end].channel.pathUp(way, epoch: epoch, now: now), at: end) }
        }
        for way in former where !ways.contains(way) { run(ends[end].channel.pathDown(way, now: now), at: end) }
    }

    mutating func endBurst(_ end: Int) {
        guard let number = ends[end].channel.burstEnded(now: now), let pair = ends[end].channel.incoming else { return }
        say(.acknowledgement(number, pair: pair), from: end)
    }

    /// Sends what is to be sent.
    private mutating func pump(_ end: Int) {
        while let (note, number) = ends[end].channel.next(), let pair = ends[end].channel.outgoing {
            copies += 1
            say(.message(note, number: number, pair: pair), from: end)
        }
    }

    mutating func pass(_ milliseconds: Int64) {
        now += milliseconds
        for end in 0...1 where ends[end].channel.isWaiting {
            let changes = ends[end].channel.pairChanges
            run(ends[end].channel.tick(now: now), at: end)
            if ends[end].channel.pairChanges != changes { see(at: end) { $0.doubt() } }
            endBurst(end)
        }
    }

    /// What is on its way arrives, but for what is at routers that stand still.
    mutating func settle() {
        while isMoving {
            for end in 0...1 {
                for router in 0..<routers {
                    route(from: end, router)
                    read(end, router)
                }
            }
        }
    }

    private var isMoving: Bool {
        ends.contains { end in
            (0..<routers).contains { router in
                !frozen.contains(router)
                    && !(end.links[router].toRouter.isEmpty && end.links[router].fromRouter.isEmpty)
            }
        }
    }

    /// All links up, and everything goes its way until nobody waits for anything.
    mutating func rest() {
        frozen = []
        for end in 0...1 { for router in 0..<routers { link(end, router) } }
        for _ in 0..<400 {
            settle()
            for end in 0...1 { endBurst(end) }
            if !isMoving, ends.allSatisfy({ !$0.channel.isWaiting }) { return judge() }
            pass(50)
        }
        blame("no rest: \(ends.map(\.channel))")
    }

    // MARK: What must hold

    private mutating func judge() {
        for end in ends {
            guard end.channel.isConfirmed, end.channel.keptBytes == 0 else { return blame("not at rest") }
            for number in 1..<(end.sent + 1) {
                let note = Note(start: end.start, number: number)
                if !delivered.contains(note), !lost.contains(note) { return blame("\(note) is gone without a word") }
            }
        }
    }

    private mutating func run(_ actions: [ReliableChannel<Note>.Action], at end: Int) {
        for action in actions {
            switch action {
            case .sync(let sync, let way): put(.sync(sync), from: end, way)
            case .restarted(let notes):
                restarts += 1
                lost.formUnion(notes)
            }
        }
        pump(end)
    }

    private mutating func say(_ frame: Frame, from end: Int) {
        guard let way = ends[end].channel.way else { return blame("a word without a way") }
        put(frame, from: end, way)
    }

    private mutating func put(_ frame: Frame, from end: Int, _ router: Int) {
        if ends[end].links[router].isUp { ends[end].links[router].toRouter.append(frame) }
    }

    private mutating func take(_ note: Note, at start: Int) {
        let last = taken[start]?[note.start]?.last ?? 0
        if note.number <= last { blame("\(note) after \(last) at \(start)") }
        if !delivered.insert(note).inserted { blame("\(note) twice") }
        taken[start, default: [:]][note.start, default: []].append(note.number)
    }

    private mutating func blame(_ what: String) {
        if fault == nil { fault = what }
    }
}
