// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import DequeModule
import Glibc
import NIOCore
import TLS
import XMPPCore

/// What an administrator sees of federation: rows of text.
extension S2SHub {
    /// One row for each stream, and for each pair whose link has none.
    func rows(of domain: String? = nil) -> [[AdminField]] {
        let now = NIODeadline.now()
        let isMeant = { (remote: String) in domain.map { remote == $0 } ?? true }
        var rows = self.streams.values.filter { isMeant($0.remote) }.flatMap { self.rows(of: $0, now) }
        for link in self.links.values where link.stream == nil && isMeant(link.pair.remote) {
            guard !link.queue.isEmpty || link.lastFailure != nil else { continue }
            rows.append(self.row(of: link, now))
        }
        return rows.sorted { one, other in one.map(\.value).lexicographicallyPrecedes(other.map(\.value)) }
    }

    private func rows(of stream: ServerStream, _ now: NIODeadline) -> [[AdminField]] {
        let pairs = stream.pairs.isEmpty ? [FederationPair(local: stream.local, remote: stream.remote)] : stream.pairs
        return pairs.map { pair in
            let link = stream.isInitiating || stream.isBidirectional ? self.links[pair] : nil
            let certificate = stream.identity?.certificate
            let days = certificate.map { String($0.daysLeft(now: Int64(time(nil)))) } ?? ""
            return [
                AdminField("domain", pair.remote), AdminField("local", pair.local),
                AdminField("direction", stream.isBidirectional ? "both" : stream.isInitiating ? "out" : "in"),
                AdminField("state", self.state(of: stream).rawValue),
                AdminField("address", stream.address),
                AdminField("transport", stream.identity == nil ? "plain" : stream.isDirectTLS ? "direct" : "starttls"),
                AdminField("tls", stream.identity?.tlsVersion ?? ""),
                AdminField("cipher", stream.identity?.cipher ?? ""),
                AdminField("authentication", stream.methods[pair]?.rawValue ?? ""),
                AdminField("certificate", certificate?.fingerprintText ?? ""),
                AdminField("issuer", certificate?.issuer ?? ""),
                AdminField("certificate_fault", stream.identity?.judge(pair.remote).reason ?? ""),
                AdminField("days_left", days),
                AdminField("stream_management", String(stream.ledger.isOn)),
                AdminField("queued", String((link?.queue.count ?? 0) + stream.ledger.unacknowledged.count)),
                AdminField("queued_bytes", String((link?.queuedBytes ?? 0) + stream.ledger.unacknowledgedBytes)),
                AdminField("uptime", String((now - stream.opened).nanoseconds / 1_000_000_000)),
                AdminField("last_error", self.refusals[pair.remote] ?? ""),
            ]
        }
    }

    /// Where a stream is in its life.
    enum StreamState: String, CaseIterable {
        case connecting
        case negotiating
        case ready
        case closing
    }

    private func state(of stream: ServerStream) -> StreamState {
        if stream.isClosing { return .closing }
        if stream.context == nil { return .connecting }
        return stream.pairs.isEmpty ? .negotiating : .ready
    }

    /// How many streams are in a state, of those that we opened or of the others.
    func count(isInitiating: Bool, in state: StreamState) -> Int {
        self.streams.values.count { $0.isInitiating == isInitiating && self.state(of: $0) == state }
    }

    /// How many pairs of domains have something waiting.
    var waitingLinks: Int { self.links.values.count { !$0.queue.isEmpty } }

    private func row(of link: OutgoingLink, _ now: NIODeadline) -> [AdminField] {
        let state: String
        switch link.state {
        case .waiting(let until): state = "retry in \(max(0, (until - now).nanoseconds / 1_000_000_000)) s"
        case .idle: state = "failed"
        case .connecting, .ready: state = "connecting"
        }
        return [
            AdminField("domain", link.pair.remote), AdminField("local", link.pair.local),
            AdminField("direction", "out"),
            AdminField("state", state),
            AdminField("queued", String(link.queue.count)), AdminField("queued_bytes", String(link.queuedBytes)),
            AdminField("last_error", link.lastFailure?.failure.text ?? self.refusals[link.pair.remote] ?? ""),
        ]
    }

    /// Ends all streams with a domain, and lets what waits for it be tried at once; gives how many.
    func close(_ domain: String) -> Int {
        let meant = self.streams.values.filter { $0.remote == domain || $0.pairs.contains { $0.remote == domain } }
        for stream in meant { stream.finish() }
        for link in self.links.values where link.pair.remote == domain {
            link.lastFailure = nil
            if case .waiting = link.state { self.connect(link) }
        }
        return meant.count
    }

    /// Links to a domain from the beginning, on a stream of its own: gives each step in words, the last one the outcome.
    ///
    /// What is not done in time is told with the steps up to then: who asks must not wait in vain.
    func test(_ domain: String, from local: String, within time: TimeAmount) -> EventLoopFuture<[String]> {
        let promise = self.eventLoop.makePromise(of: [String].self)
        let pair = FederationPair(local: local, remote: domain)
        if let refusal = self.rules.refusal(ofRemote: domain) {
            promise.succeed(["refused: \(refusal.text ?? refusal.condition.rawValue)"])
            return promise.futureResult
        }
        let stream = self.open(pair)
        let deadline = self.eventLoop.assumeIsolated().scheduleTask(in: time) {
            let seconds = time.nanoseconds / 1_000_000_000
            let state = stream.context == nil ? "connection to \(domain)" : "answer of \(domain) that settles it"
            stream.failTest(FederationFailure(.remoteServerTimeout, "there was no \(state) within \(seconds) s"))
        }
        stream.whenTested = { [weak stream] in
            guard let stream, stream.whenTested != nil else { return }
            stream.whenTested = nil
            deadline.cancel()
            let isGood = !stream.pairs.isEmpty
            let outcome = isGood ? "good: \(domain) can be written to" : "failed: \(stream.failure?.text ?? "it ended")"
            var steps = stream.allSteps
            if !isGood, steps.last == stream.failure?.text { steps.removeLast() }
            // Before anybody can act on the outcome: what is sent then does not go over this stream.
            self.eventLoop.assumeIsolated().execute { stream.finish() }
            promise.succeed(steps + [outcome])
        }
        stream.mutateInitiating { $0.authenticate(pair) }
        return promise.futureResult
    }
}
