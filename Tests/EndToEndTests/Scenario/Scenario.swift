// SPDX-License-Identifier: Apache-2.0

/// A conversation with the running suite, written as plain text: who connects, who sends what, who receives what.
///
/// ```
/// # RFC 6121 section 8.5.3.1: what this scenario proves, on the first lines
///
/// romeo connects
/// juliet connects with resource=balcony management=on
/// romeo sends
///     <message to='$juliet/balcony' type='chat'><body>Hi</body></message>
/// juliet receives
///     <message from='$romeo/romeo' type='chat'><body>Hi</body><stanza-id xmlns='urn:xmpp:sid:0' id='*' by='$juliet'/></message>
/// romeo receives nothing
/// juliet disconnects
/// ```
///
/// A word before a verb names an actor, who has an account of that name made for this scenario alone. `$name` is the
/// actor's bare JID, `$domain` the main domain, `$foreign` a second hosted one.
struct Scenario: Sendable {
    enum Action: Sendable, Equatable {
        /// Logs in; options: `resource`, `management` (`on`: XEP-0198 with resumption), `presence` (`none`: no initial
        /// presence; a number: that priority), `as` (the account of another actor).
        case connects([String: String])
        case sends(String)
        /// The next stanzas are these, in any order; stanzas of no interest are never skipped.
        case receives([String])
        /// A ping to the server is answered before anything else arrives: so nothing was under way.
        case receivesNothing
        /// Ends the stream and waits for the server's end.
        case disconnects
        /// Loses the connection without a word.
        case breaks
        /// Opens a new connection and resumes the stream (XEP-0198) that broke.
        case resumes
        /// Acknowledges all that was received (XEP-0198).
        case acknowledges
        /// Waits until the server has acknowledged all that was sent (XEP-0198).
        case isAcknowledged
    }

    struct Step: Sendable {
        let actor: String
        let action: Action
        let line: Int
    }

    let name: String
    let steps: [Step]

    struct SyntaxError: Error, CustomStringConvertible {
        let description: String
    }

    init(name: String, text: String) throws {
        self.name = name
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var steps: [Step] = []
        var index = 0
        while index < lines.count {
            let line = lines[index]
            let number = index + 1
            index += 1
            let isBlank = line.allSatisfy(\.isWhitespace)
            if isBlank || line.hasPrefix("#") { continue }
            guard line.first?.isWhitespace == false else {
                throw SyntaxError(description: "\(name):\(number): XML without a verb before it")
            }
            var block: [String] = []
            while index < lines.count, lines[index].first?.isWhitespace == true {
                block.append(lines[index])
                index += 1
            }
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 2, let action = Self.action(Array(words.dropFirst()), block: block) else {
                throw SyntaxError(description: "\(name):\(number): not understood: \(line)")
            }
            steps.append(Step(actor: words[0], action: action, line: number))
        }
        self.steps = steps
    }

    /// The actors, in the order of their first step.
    var actors: [String] {
        var seen: [String] = []
        for step in steps where !seen.contains(step.actor) { seen.append(step.actor) }
        return seen
    }

    private static func action(_ words: [String], block: [String]) -> Action? {
        let xml = block.joined(separator: "\n").drop(while: \.isWhitespace)
        switch words[0] {
        case "connects": return .connects(options(words.dropFirst()))
        case "sends" where !xml.isEmpty: return .sends(String(xml))
        case "receives" where words.count == 2 && words[1] == "nothing": return .receivesNothing
        case "receives" where !xml.isEmpty: return .receives(topLevelElements(String(xml)))
        case "disconnects": return .disconnects
        case "breaks": return .breaks
        case "resumes": return .resumes
        case "acknowledges": return .acknowledges
        case "is" where words.count == 2 && words[1] == "acknowledged": return .isAcknowledged
        default: return nil
        }
    }

    private static func options(_ words: ArraySlice<String>) -> [String: String] {
        var options: [String: String] = [:]
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { options[String(parts[0])] = String(parts[1]) }
        }
        return options
    }

    /// Splits a block into its elements: each starts on a line of its own at the block's own indentation.
    private static func topLevelElements(_ text: String) -> [String] {
        let lines = text.split(separator: "\n").map(String.init)
        var elements: [String] = []
        for (offset, line) in lines.enumerated() {
            let indentation = line.prefix(while: { $0 == " " }).count
            if (offset == 0 || indentation == 4) && !line.drop(while: { $0 == " " }).hasPrefix("</") {
                elements.append(line)
            } else if let last = elements.popLast() {
                elements.append(last + "\n" + line)
            }
        }
        return elements
    }
}
