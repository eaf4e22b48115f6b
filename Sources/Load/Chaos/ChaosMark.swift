// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// One message of a chaos run: its number within the conversation of one sender with one receiver, from 0.
struct MessageReference: Hashable, Sendable, CustomStringConvertible {
    let pair: Int
    let number: Int

    var description: String { "\(pair)-\(number)" }
}

/// What a message of a chaos run says about itself: `pair-number` in its `id`, and in its body
/// `pair-number-session`, the session of the sender that it was sent in.
///
/// A client that sends a message again keeps the `id`. In the same session, that is after a resumption, the body is the
/// same as well; in a new one it is another stanza to the server, and the body tells.
struct ChaosMark: Equatable, Sendable {
    let message: MessageReference
    /// nil where only the `id` was read.
    let session: Int?

    init(_ message: MessageReference, session: Int? = nil) {
        (self.message, self.session) = (message, session)
    }

    init?(_ text: Substring) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3 else { return nil }
        // Digits alone: `Int` takes signs as well.
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else { return nil }
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == parts.count else { return nil }
        self.init(
            MessageReference(pair: numbers[0], number: numbers[1]),
            session: numbers.count == 3 ? numbers[2] : nil
        )
    }

    var description: String { session.map { "\(message)-\($0)" } ?? "\(message)" }

    /// The stanza of a message; `padding` goes behind the mark in the body.
    func stanza(to receiver: String, padding: String) -> String {
        "<message to='\(receiver)' type='chat' id='\(message)'><body>\(description) \(padding)</body></message>"
    }
}

/// What a chaos run reads off a message that arrived.
struct ArrivedMessage {
    enum Content: Equatable {
        case message(MessageReference, senderSession: Int, stableID: String?)
        /// A message of ours came back, with this condition.
        case error(MessageReference, condition: String)
        /// None of this run's.
        case foreign
    }

    let content: Content

    init(_ stanza: ReceivedStanza) {
        let text = stanza.text
        if stanza.has("type", "error") {
            guard let mark = stanza["id"].flatMap({ ChaosMark($0[...]) }) else {
                content = .foreign
                return
            }
            content = .error(mark.message, condition: Self.condition(of: text))
        } else if let mark = Self.body(of: text).flatMap({ ChaosMark($0) }), let session = mark.session {
            content = .message(mark.message, senderSession: session, stableID: Self.stableID(in: text))
        } else {
            content = .foreign
        }
    }

    private static func body(of text: String) -> Substring? {
        guard let start = text.range(after: "<body>") else { return nil }
        return text[start...].prefix { $0 != " " && $0 != "<" }
    }

    /// The `id` of the first `<stanza-id/>` (XEP-0359).
    private static func stableID(in text: String) -> String? {
        guard let tag = text.range(after: "<stanza-id"), let value = text[tag...].range(after: " id=") else {
            return nil
        }
        let rest = text[value...]
        guard let quote = rest.first else { return nil }
        return String(rest.dropFirst().prefix { $0 != quote })
    }

    /// The defined condition of a stanza error (RFC 6120 section 8.3.3).
    static func condition(of text: String) -> String {
        guard let tag = text.range(after: "<error"), let end = text[tag...].firstIndex(of: ">") else {
            return "unknown"
        }
        for element in text[end...].split(separator: "<").dropFirst() {
            let name = element.prefix { $0 != " " && $0 != "/" && $0 != ">" }
            if !name.isEmpty, name != "text" { return String(name) }
        }
        return "unknown"
    }
}

extension StringProtocol where SubSequence == Substring {
    /// Where the text behind the first occurrence of a word begins.
    fileprivate func range(after word: String) -> Index? {
        let bytes = utf8
        guard let first = word.utf8.first else { return startIndex }
        var index = bytes.startIndex
        while let start = bytes[index...].firstIndex(of: first) {
            if bytes[start...].starts(with: word.utf8) { return bytes.index(start, offsetBy: word.utf8.count) }
            index = bytes.index(after: start)
        }
        return nil
    }
}
