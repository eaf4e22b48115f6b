// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Presence in a `ContactRing`: `window` clients at a time change their status, and the next one begins when every
/// contact of one has seen it.
///
/// Each presence carries a `Marker` in its status, the one text that every server passes on.
final class PresencePhase: ClientPool.Phase {
    private let ring: ContactRing
    private let window: Int
    private let prefix: [UInt8]
    private let start = NIODeadline.now()
    private var clients: [LoadClient] = []
    private var broadcasts: [Int] = []
    /// Deliveries to come of a client's last presence; zero: it may send the next.
    private var toCome: [Int] = []
    private var nextClient = 0
    /// Of each client, one for each contact that it sees.
    private var audits: [[SequenceAudit]] = []
    private var isSending = true
    private(set) var counts = DeliveryCounts()

    init(_ ring: ContactRing, window: Int, prefix: String) {
        self.ring = ring
        self.window = min(window, ring.clients)
        self.prefix = Array(prefix.utf8)
    }

    var underWay: Int {
        clients.indices.reduce(0) { sum, client in
            sum
                + ring.contacts(of: client).reduce(0) { sum, contact in
                    let place = ring.place(of: contact, at: client) ?? 0
                    return sum + audits[client][place].outstanding(sent: broadcasts[contact])
                }
        }
    }

    func begin(_ clients: [LoadClient]) {
        self.clients = clients
        for (index, client) in clients.enumerated() { client.index = index }
        broadcasts = Array(repeating: 0, count: clients.count)
        toCome = broadcasts
        audits = Array(repeating: Array(repeating: SequenceAudit(), count: ring.contacts), count: clients.count)
        for _ in 0..<window { broadcastNext() }
    }

    func beginMeasurement() { counts = DeliveryCounts() }

    func stopSending() { isSending = false }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        guard !clients.isEmpty else { return }
        guard stanza.kind == .presence else {
            if stanza.has("type", "error") { counts.errors += 1 }
            return
        }
        // A client's own presence, and those of the logins, are none of ours.
        guard let sender = sender(of: stanza), let place = ring.place(of: sender, at: client.index) else { return }
        guard let marker = stanza.markerInFirstChild() else {
            if stanza.has("type", "error") { counts.errors += 1 }
            return
        }
        let arrival = audits[client.index][place].arrived(marker.number)
        counts.add(arrival)
        counts.latency.record(now - marker.time)
        guard arrival == .inOrder else { return }
        toCome[sender] -= 1
        if toCome[sender] == 0, isSending { broadcastNext() }
    }

    func clientFinishedReading(_ client: LoadClient) {}

    private var now: Int64 { (NIODeadline.now() - start).nanoseconds }

    private func broadcastNext() {
        // There are at least as many clients as may be under way, so one is free.
        while toCome[nextClient] > 0 { nextClient = (nextClient + 1) % clients.count }
        let sender = nextClient
        nextClient = (nextClient + 1) % clients.count
        let marker = Marker(number: broadcasts[sender], time: now)
        broadcasts[sender] += 1
        toCome[sender] = ring.contacts
        clients[sender].send { output in
            output.writeStaticString("<presence><status>")
            marker.write(to: &output)
            output.writeStaticString("</status></presence>")
        }
        clients[sender].flush()
    }

    /// The index of the client that a presence is from, read off the digits of its address.
    private func sender(of stanza: ReceivedStanza) -> Int? {
        guard let range = stanza.range(of: "from"), range.count > prefix.count else { return nil }
        var index = range.lowerBound + prefix.count
        return Marker.integer(stanza.bytes.readableBytesUInt8Span, &index).map { $0 - 1 }
    }
}
