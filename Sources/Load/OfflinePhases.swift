// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The first half of the offline load: a few clients write to accounts that are away, as fast as their sockets allow.
final class StorePhase: ClientPool.Phase {
    private let options: LoadOptions
    private let receivers: Range<Int>
    private let messages: Int
    private let body: String
    private var clients: [LoadClient] = []
    private(set) var errors = 0
    /// Clients whose request after the last message was answered.
    private(set) var answers = 0
    /// The server acknowledged all messages (XEP-0198).
    var isAcknowledged: Bool { clients.allSatisfy(\.isAcknowledged) }

    init(receivers: Range<Int>, messages: Int, bodyBytes: Int, options: LoadOptions) {
        self.options = options
        self.receivers = receivers
        self.messages = messages
        body = String(repeating: "x", count: bodyBytes)
    }

    func begin(_ clients: [LoadClient]) { self.clients = clients }

    /// Writes everything; one sender for each receiver, so that there is an order.
    func send() {
        for number in 0..<messages {
            for receiver in receivers {
                let address = options.bareAddress(receiver)
                clients[receiver % clients.count].send(
                    "<message to='\(address)' type='chat' id='\(number)-0'><body>\(body)</body></message>"
                )
            }
        }
        for client in clients {
            client.send("<iq type='get' id='last' to='\(options.domain)'><ping xmlns='urn:xmpp:ping'/></iq>")
            client.requestAcknowledgement()
            client.flush()
        }
    }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        if stanza.kind == .message, stanza.has("type", "error") { errors += 1 }
        if stanza.kind == .iq, stanza.has("id", "last") { answers += 1 }
    }

    func clientFinishedReading(_ client: LoadClient) {}
}

/// The second half: the accounts come back, and get what waited for them.
final class DrainPhase: ClientPool.Phase {
    private let messages: Int
    private var clients: [LoadClient] = []
    private var audits: [SequenceAudit] = []
    private(set) var counts = DeliveryCounts()
    private(set) var lastArrival = NIODeadline.now()

    private let domain: String

    init(messages: Int, domain: String) {
        (self.messages, self.domain) = (messages, domain)
    }

    var missing: Int { audits.reduce(0) { $0 + $1.outstanding(sent: messages) } }

    func begin(_ clients: [LoadClient]) {
        self.clients = clients
        for (index, client) in clients.enumerated() { client.index = index }
        audits = Array(repeating: SequenceAudit(), count: clients.count)
    }

    /// Initial presence is the request for what is stored (XEP-0160).
    func ask() {
        lastArrival = .now()
        for client in clients {
            client.send("<presence/>")
            client.flush()
        }
    }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        guard stanza.kind == .message, !clients.isEmpty else { return }
        guard !stanza.has("type", "error"), let marker = stanza.marker(in: "id") else {
            counts.errors += 1
            return
        }
        counts.add(audits[client.index].arrived(marker.number))
        lastArrival = .now()
        guard marker.number == messages - 1 else { return }
        // A sign of life: without XEP-0198 it is all that tells a careful server that the messages have arrived.
        client.send("<iq type='get' id='drained' to='\(domain)'><ping xmlns='urn:xmpp:ping'/></iq>")
    }

    func clientFinishedReading(_ client: LoadClient) {}
}
