// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Makes the subscriptions of a `ContactRing`, both ways, by the stanzas that clients use (RFC 6121 section 3).
///
/// For each pair the first asks, the second approves and asks back, the first approves. What a roster says to be there
/// already is left alone.
final class ContactPhase: ClientPool.Phase {
    /// Pairs under way at a time: every one is some ten stanzas, and rosters are pushed for each.
    private static let window = 50

    private struct Pair: Hashable {
        let asking: Int
        let asked: Int
    }

    private let ring: ContactRing
    private let prefix: String
    private let domain: String
    private var clients: [LoadClient] = []
    /// Contacts with a subscription both ways, by client.
    private var complete: [Set<Int>] = []
    private var rostersToCome = 0
    private var waiting: [Pair] = []
    private var underWay: Set<Pair> = []
    let finished: EventLoopPromise<Void>
    /// Pairs that are not there yet.
    var missing: Int { waiting.count + underWay.count }

    init(_ ring: ContactRing, options: LoadOptions, on eventLoop: any EventLoop) {
        self.ring = ring
        (prefix, domain) = (options.prefix, options.domain)
        finished = eventLoop.makePromise()
    }

    func begin(_ clients: [LoadClient]) {
        self.clients = clients
        complete = Array(repeating: [], count: clients.count)
        for (index, client) in clients.enumerated() { client.index = index }
        readRosters()
    }

    func client(_ client: LoadClient, received stanza: ReceivedStanza) {
        switch stanza.kind {
        case .iq where stanza.has("id", "contacts"): read(stanza.text, client.index)
        case .iq where stanza.has("type", "set"): answerPush(stanza, client)
        case .presence: presence(stanza, client)
        default: break
        }
    }

    func clientFinishedReading(_ client: LoadClient) {}

    /// What the rosters say decides, at the start and at the end.
    private func readRosters() {
        rostersToCome = clients.count
        for client in clients {
            client.send("<iq type='get' id='contacts'><query xmlns='jabber:iq:roster'/></iq>")
            client.flush()
        }
    }

    private func read(_ roster: String, _ index: Int) {
        complete[index] = []
        for item in roster.split(separator: "<item").dropFirst() {
            let tag = item.prefix { $0 != ">" }
            guard tag.contains("subscription='both'") || tag.contains("subscription=\"both\""),
                let start = tag.firstRange(of: "jid=")?.upperBound
            else { continue }
            if let contact = self.index(of: tag[start...].dropFirst().prefix { $0 != "'" && $0 != "\"" }) {
                complete[index].insert(contact)
            }
        }
        rostersToCome -= 1
        guard rostersToCome == 0 else { return }
        waiting = clients.indices.flatMap { first in
            ring.contacts(of: first)
                .filter { !complete[first].contains($0) || !complete[$0].contains(first) }
                .map { Pair(asking: min(first, $0), asked: max(first, $0)) }
        }
        waiting = Array(Set(waiting))
        waiting.isEmpty ? finished.succeed() : next()
    }

    private func next() {
        while underWay.count < Self.window, let pair = waiting.popLast() {
            underWay.insert(pair)
            tell(pair.asking, "subscribe", pair.asked)
        }
    }

    private func presence(_ stanza: ReceivedStanza, _ client: LoadClient) {
        guard let from = stanza["from"], let other = index(of: from[...]), let type = stanza["type"] else { return }
        let me = client.index
        switch type {
        case "subscribe":
            tell(me, "subscribed", other)
            if underWay.contains(Pair(asking: other, asked: me)) { tell(me, "subscribe", other) }
        case "subscribed" where underWay.remove(Pair(asking: other, asked: me)) != nil:
            // The answer to the second question: both are done.
            waiting.isEmpty && underWay.isEmpty ? readRosters() : next()
        default: break
        }
    }

    private func answerPush(_ push: ReceivedStanza, _ client: LoadClient) {
        guard let id = push["id"] else { return }
        client.send("<iq type='result' id='\(id)'/>")
        client.flush()
    }

    private func tell(_ sender: Int, _ type: String, _ receiver: Int) {
        let to = "\(prefix)\(clients[receiver].number)@\(domain)"
        clients[sender].send("<presence type='\(type)' to='\(to)'/>")
        clients[sender].flush()
    }

    /// The index of one of our addresses, bare or full.
    private func index(of address: Substring) -> Int? {
        guard address.hasPrefix(prefix) else { return nil }
        let digits = address.dropFirst(prefix.count).prefix { $0 != "@" }
        return Int(digits).map { $0 - 1 }.flatMap { clients.indices.contains($0) ? $0 : nil }
    }
}
