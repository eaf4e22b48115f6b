// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// Chat as a closed loop: in each pair the odd client keeps `window` messages under way to the even one.
///
/// Every message carries its number as `id`, so what is lost, doubled or out of order is counted, not assumed. Times are
/// from the write to the receipt.
final class ChatPhase: LoadRun.Phase {
    struct Counts: Sendable {
        var delivered = 0
        var doubled = 0
        var reordered = 0
        var errors = 0
        var latencies: [Int64] = []
    }

    private let window: Int
    private let domain: String
    private let prefix: String
    private let body: String
    private var clients: [LoadClientHandler] = []
    private var sent: [Int] = []
    private var received: [Int] = []
    private var sentAt: [[NIODeadline]] = []
    private var isSending = true
    private(set) var counts = Counts()

    init(window: Int, bodyBytes: Int, options: LoadOptions) {
        self.window = window
        (domain, prefix) = (options.domain, options.prefix)
        body = String(repeating: "x", count: bodyBytes)
    }

    /// Messages that were sent and have not arrived.
    var underWay: Int { zip(sent, received).reduce(0) { $0 + $1.0 - $1.1 } }

    func begin(_ clients: [LoadClientHandler]) {
        self.clients = clients
        let pairs = clients.count / 2
        sent = Array(repeating: 0, count: pairs)
        received = sent
        sentAt = Array(repeating: Array(repeating: .now(), count: window), count: pairs)
        for pair in 0..<pairs {
            clients[2 * pair].conversation = pair
            clients[2 * pair + 1].conversation = pair
        }
        for _ in 0..<window {
            for pair in 0..<pairs { send(pair) }
        }
    }

    /// Starts the counting anew; what is under way stays.
    func resetCounts() { counts = Counts() }

    /// Lets what is under way arrive.
    func stopSending() { isSending = false }

    func client(_ client: LoadClientHandler, received element: StreamElement) {
        guard element.name == "message" else { return }
        guard element["type"] == "chat", let number = element["id"].flatMap({ Int($0) }) else {
            counts.errors += 1
            return
        }
        let pair = client.conversation
        let expected = received[pair]
        if number < expected { counts.doubled += 1 }
        if number > expected { counts.reordered += 1 }
        guard number >= expected else { return }
        received[pair] = number + 1
        counts.delivered += 1
        counts.latencies.append((.now() - sentAt[pair][number % window]).nanoseconds)
        if isSending { send(pair) }
    }

    private func send(_ pair: Int) {
        let number = sent[pair]
        sent[pair] += 1
        sentAt[pair][number % window] = .now()
        let text =
            "<message to='\(prefix)\(2 * pair + 2)@\(domain)/load' type='chat' id='\(number)'><body>\(body)</body></message>"
        clients[2 * pair].send(ByteBuffer(string: text))
    }
}
