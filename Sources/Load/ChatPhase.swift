// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Chat in pairs: the first client of each pair writes to the second.
///
/// As a closed loop a pair has always `window` messages under way; as an open loop the messages of all pairs together
/// follow a fixed schedule. Every message carries a `Marker` as its `id`.
final class ChatPhase: ClientPool.Phase {
    enum Pace: Sendable {
        case closedLoop(window: Int)
        case openLoop(messagesPerSecond: Double)
    }

    private let pace: Pace
    private let eventLoop: any EventLoop
    private let body: ByteBuffer
    private let start = NIODeadline.now()
    private var clients: [LoadClient] = []
    /// The start tag of a pair's messages up to the marker.
    private var heads: [ByteBuffer] = []
    private var sent: [Int] = []
    private var audits: [SequenceAudit] = []
    private var schedule: OpenLoopSchedule?
    /// Pairs whose sender has something to flush.
    private var unflushed: [Int] = []
    private var isUnflushed: [Bool] = []
    private var isSending = true
    /// In an open loop, the scheduled times that are measured.
    private var measured: Range<Int64> = 0..<Int64.max
    private(set) var counts = DeliveryCounts()
    /// How late the generator itself was with the messages of an open loop.
    private(set) var lateness = LatencyHistogram()

    init(_ pace: Pace, bodyBytes: Int, on eventLoop: any EventLoop) {
        self.pace = pace
        self.eventLoop = eventLoop
        body = ByteBuffer(string: "'><body>\(String(repeating: "x", count: bodyBytes))</body></message>")
    }

    /// Messages that were sent and have not arrived.
    var underWay: Int { zip(sent, audits).reduce(0) { $0 + $1.1.outstanding(sent: $1.0) } }

    func begin(_ clients: [LoadClient]) {
        self.clients = clients
        let pairs = clients.count / 2
        for pair in 0..<pairs {
            clients[2 * pair].index = pair
            clients[2 * pair + 1].index = pair
            heads.append(ByteBuffer(string: "<message to='\(clients[2 * pair + 1].address)' type='chat' id='"))
        }
        sent = Array(repeating: 0, count: pairs)
        audits = Array(repeating: SequenceAudit(), count: pairs)
        isUnflushed = Array(repeating: false, count: pairs)
        switch pace {
        case .closedLoop(let window):
            for _ in 0..<window {
                for pair in 0..<pairs { send(pair, at: now) }
            }
            flush()
        case .openLoop(let rate):
            schedule = OpenLoopSchedule(start: now, messagesPerSecond: rate)
            tick()
        }
    }

    /// Starts the counting anew; what is under way stays.
    func beginMeasurement() {
        counts = DeliveryCounts()
        lateness = LatencyHistogram()
        if schedule != nil { measured = now..<Int64.max }
    }

    /// What arrives from now on is counted, but what is sent from now on is not measured.
    func endMeasurement() {
        if schedule != nil { measured = measured.lowerBound..<max(now, measured.lowerBound) }
    }

    /// Lets what is under way arrive.
    func stopSending() { isSending = false }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        // What waited for an account from before is none of ours.
        guard stanza.kind == .message, !clients.isEmpty else { return }
        guard !stanza.has("type", "error"), let marker = stanza.marker(in: "id") else {
            counts.errors += 1
            return
        }
        let pair = client.index
        counts.add(audits[pair].arrived(marker.number))
        if measured.contains(marker.time) { counts.latency.record(now - marker.time) }
        if isSending, schedule == nil { send(pair, at: now) }
    }

    func clientFinishedReading(_ client: LoadClient) { flush() }

    private var now: Int64 { (NIODeadline.now() - start).nanoseconds }

    private func send(_ pair: Int, at time: Int64) {
        let marker = Marker(number: sent[pair], time: time)
        sent[pair] += 1
        clients[2 * pair].send { output in
            output.writeImmutableBuffer(heads[pair])
            marker.write(to: &output)
            output.writeImmutableBuffer(body)
        }
        guard !isUnflushed[pair] else { return }
        isUnflushed[pair] = true
        unflushed.append(pair)
    }

    private func flush() {
        for pair in unflushed {
            isUnflushed[pair] = false
            clients[2 * pair].flush()
        }
        unflushed.removeAll(keepingCapacity: true)
    }

    private func tick() {
        guard isSending, var schedule else { return }
        let time = now
        for index in schedule.due(at: time) {
            let dueTime = schedule.time(of: index)
            lateness.record(time - dueTime)
            send(index % heads.count, at: dueTime)
        }
        flush()
        self.schedule = schedule
        let deadline = start + .nanoseconds(schedule.nextTime)
        eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.tick() }
    }
}
