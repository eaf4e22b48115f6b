// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// A message: the nth of one client to a user. Its text is the `id` of the stanza.
struct MessageKey: Hashable, CustomStringConvertible {
    let from: Int
    let to: Int
    let number: Int

    init(from: Int, to: Int, number: Int) {
        self.from = from
        self.to = to
        self.number = number
    }

    init?(_ text: String) {
        let parts = text.split(separator: ".").compactMap { Int($0) }
        guard parts.count == 3 else { return nil }
        self.init(from: parts[0], to: parts[1], number: parts[2])
    }

    var description: String { "\(from).\(to).\(number)" }
}

/// A session of a client: from its bind on, over its resumptions.
struct ClientSession: Hashable, CustomStringConvertible {
    let client: Int
    let number: Int

    var description: String { "\(number) of client \(client)" }
}

/// What became of every message, by the clients' own accounts; and the first broken promise.
struct DeliveryRecords {
    private struct Message {
        var isAcknowledged = false
        var isInDoubt = false
        var hasFailed = false
        /// By the sessions of its receiver's clients, the first one first.
        var sessions: [ClientSession] = []
        var stableID = ""
    }

    private struct Direction: Hashable {
        let from: Int
        let to: Int
    }

    private var messages: [MessageKey: Message] = [:]
    private var sent: [Direction: Int] = [:]
    /// The last number that a session of the receiver got. A user with several clients is not in it: what one of them did
    /// not acknowledge goes to another one, which may have newer ones already.
    private var last: [Direction: (session: ClientSession, number: Int)] = [:]
    private(set) var fault: String?

    var count: Int { messages.count }

    mutating func send(from: Int, to: Int) -> MessageKey {
        let direction = Direction(from: from, to: to)
        sent[direction, default: 0] += 1
        let key = MessageKey(from: from, to: to, number: sent[direction, default: 0])
        messages[key] = Message()
        return key
    }

    /// A session of the user with this index got a message; `isAlone`: the user has no other client.
    mutating func received(
        _ key: MessageKey,
        by user: Int,
        _ session: ClientSession,
        isAlone: Bool,
        content: ByteBuffer
    ) {
        guard var message = messages[key], key.to == user else { return blame("\(key) is nobody's") }
        let id = Self.stableID(content)
        if message.sessions.contains(session) { blame("\(key) came twice in session \(session)") }
        if !message.sessions.isEmpty, id != message.stableID { blame("\(key) came with another stable id") }
        message.stableID = id
        message.sessions.append(session)
        messages[key] = message
        guard isAlone else { return }
        let direction = Direction(from: key.from, to: key.to)
        if let last = last[direction], last.session == session, last.number >= key.number {
            blame("\(key) came after \(last.number)")
        }
        last[direction] = (session: session, number: key.number)
    }

    private static let idStart = Array(" id='".utf8)

    /// What stands in `<stanza-id/>`, the only child with an id.
    private static func stableID(_ content: ByteBuffer) -> String {
        let bytes = content.readableBytesView
        guard let start = bytes.firstRange(of: idStart)?.upperBound,
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "'"))
        else { return "" }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    mutating func acknowledged(_ key: MessageKey) { messages[key]?.isAcknowledged = true }
    mutating func isInDoubt(_ key: MessageKey) { messages[key]?.isInDoubt = true }

    mutating func failed(_ key: MessageKey, at client: Int) {
        guard messages[key] != nil, key.from == client else { return blame("the error of \(key) is nobody's") }
        messages[key]?.hasFailed = true
    }

    /// At rest: all that could come has come.
    mutating func judge() {
        for (key, message) in messages where message.sessions.isEmpty && !message.hasFailed {
            if message.isAcknowledged { blame("\(key) is acknowledged and lost") }
            if !message.isInDoubt { blame("\(key) is neither acknowledged nor received nor refused") }
        }
    }

    mutating func blame(_ what: String) {
        if fault == nil { fault = what }
    }
}
