// SPDX-License-Identifier: Apache-2.0

import ComponentLink

/// Two instances with a reliable channel, a router between them, and a hand that breaks things: the links, the router, the
/// processes, at any step. What is on its way is lost as it is with sockets: all of it from some point on.
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

    struct End {
        /// Which start of a process this is; no two in the world are equal.
        var start: Int
        var channel: ReliableChannel<Note>
        var isLinked = false
        var toRouter: [Frame] = []
        var fromRouter: [Frame] = []
        var sent = 0

        init(start: Int, limits: ChannelLimits) {
            self.start = start
            self.channel = ReliableChannel(epoch: "epoch-\(start)", limits: limits)
        }
    }

    var limits = ChannelLimits()
    var ends: [End]
    var now: Int64 = 1_000
    private var starts = 2

    /// What was taken by a start of a process, in order, by the start that sent it.
    private var taken: [Int: [Int: [Int]]] = [:]
    private(set) var delivered: Set<Note> = []
    private(set) var lost: Set<Note> = []
    /// How often an end was told that the other one restarted.
    private(set) var restarts = 0
    /// The first broken promise.
    private(set) var fault: String?

    init(limits: ChannelLimits = .init()) {
        self.limits = limits
        self.ends = [End(start: 0, limits: limits), End(start: 1, limits: limits)]
    }

    // MARK: What happens

    mutating func send(from end: Int) {
        ends[end].sent += 1
        let note = Note(start: ends[end].start, number: ends[end].sent)
        run(ends[end].channel.send(note, bytes: 1, now: now), at: end)
        pump(end)
    }

    mutating func link(_ end: Int) {
        guard !ends[end].isLinked else { return }
        ends[end].isLinked = true
        let other = 1 - end
        guard ends[other].isLinked else { return }
        ends[end].fromRouter.append(.available(epoch: "epoch-\(ends[other].start)"))
        ends[other].fromRouter.append(.available(epoch: "epoch-\(ends[end].start)"))
    }

    /// The link breaks: of what is on its way some is still read.
    mutating func unlink(_ end: Int, routerReads: Int, endReads: Int) {
        guard ends[end].isLinked else { return }
        for _ in 0..<min(routerReads, ends[end].toRouter.count) { route(from: end) }
        for _ in 0..<min(endReads, ends[end].fromRouter.count) { read(end) }
        ends[end].isLinked = false
        ends[end].toRouter = []
        ends[end].fromRouter = []
        ends[end].channel.pathDown(now: now)
        if ends[1 - end].isLinked { ends[1 - end].fromRouter.append(.unavailable) }
    }

    /// The process ends and is started anew; its link is gone.
    mutating func restart(_ end: Int, routerReads: Int) {
        unlink(end, routerReads: routerReads, endReads: 0)
        ends[end] = End(start: starts, limits: limits)
        starts += 1
    }

    mutating func route(from end: Int) {
        guard ends[end].isLinked, !ends[end].toRouter.isEmpty else { return }
        let frame = ends[end].toRouter.removeFirst()
        // What cannot be placed goes back, and the channel does not care.
        if ends[1 - end].isLinked { ends[1 - end].fromRouter.append(frame) }
    }

    mutating func read(_ end: Int) {
        guard ends[end].isLinked, !ends[end].fromRouter.isEmpty else { return }
        switch ends[end].fromRouter.removeFirst() {
        case .available(let epoch): run(ends[end].channel.pathUp(epoch: epoch, now: now), at: end)
        case .unavailable: ends[end].channel.pathDown(now: now)
        case .sync(let sync):
            run(ends[end].channel.received(sync, now: now), at: end)
            pump(end)
        case .message(let note, let number, let pair):
            guard pair == ends[end].channel.incoming else { return }
            switch ends[end].channel.received(number, bytes: 1, now: now) {
            case .taken: take(note, at: ends[end].start)
            case .dropped: break
            case .gap(let sync): put(.sync(sync), from: end)
            }
        case .acknowledgement(let number, let pair):
            if pair == ends[end].channel.outgoing { ends[end].channel.acknowledged(number, now: now) }
        }
    }

    mutating func endBurst(_ end: Int) {
        guard let number = ends[end].channel.burstEnded(now: now), let pair = ends[end].channel.incoming else { return }
        put(.acknowledgement(number, pair: pair), from: end)
    }

    /// Sends what is to be sent.
    private mutating func pump(_ end: Int) {
        while let (note, number) = ends[end].channel.next(), let pair = ends[end].channel.outgoing {
            put(.message(note, number: number, pair: pair), from: end)
        }
    }

    mutating func pass(_ milliseconds: Int64) {
        now += milliseconds
        for end in 0...1 where ends[end].channel.isWaiting {
            run(ends[end].channel.tick(now: now), at: end)
            endBurst(end)
        }
    }

    /// What is on its way arrives.
    mutating func settle() {
        while ends.contains(where: { !$0.toRouter.isEmpty || !$0.fromRouter.isEmpty }) {
            for end in 0...1 {
                route(from: end)
                read(end)
            }
        }
    }

    /// All links up, and everything goes its way until nobody waits for anything.
    mutating func rest() {
        for end in 0...1 { link(end) }
        for _ in 0..<400 {
            settle()
            for end in 0...1 { endBurst(end) }
            if ends.allSatisfy({ $0.toRouter.isEmpty && !$0.channel.isWaiting }) { return judge() }
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
            case .sync(let sync): put(.sync(sync), from: end)
            case .restarted(let notes):
                restarts += 1
                lost.formUnion(notes)
            }
        }
    }

    private mutating func put(_ frame: Frame, from end: Int) {
        if ends[end].isLinked { ends[end].toRouter.append(frame) }
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
