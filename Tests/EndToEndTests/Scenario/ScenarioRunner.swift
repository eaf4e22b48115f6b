// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML

/// Plays a scenario against a running suite, with accounts of its own.
struct ScenarioRunner {
    let suite: RunningSuite
    let scenario: Scenario

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    func run() async throws {
        var actors: [String: ScenarioActor] = [:]
        var names: [String: String] = ["domain": suite.domain, "foreign": suite.secondDomain]
        for name in scenario.actors {
            let options = firstOptions(of: name)
            if let other = options["as"], let actor = actors[other] {
                actors[name] = ScenarioActor(account: actor.account)
                continue
            }
            let domain = options["domain"] == "foreign" ? suite.secondDomain : suite.domain
            let account = try await suite.addAccount(named: "\(name)-\(scenario.name)", domain: domain)
            actors[name] = ScenarioActor(account: account)
            names[name] = account.bareJID
        }
        for step in scenario.steps {
            guard let actor = actors[step.actor] else { continue }
            do {
                try await perform(step, actor, names)
            } catch {
                throw Failure(description: "\(scenario.name):\(step.line): \(step.actor): \(error)")
            }
        }
        for actor in actors.values { await actor.breakConnection() }
    }

    private func firstOptions(of name: String) -> [String: String] {
        for step in scenario.steps where step.actor == name {
            if case .connects(let options) = step.action { return options }
        }
        return [:]
    }

    private func perform(_ step: Scenario.Step, _ actor: ScenarioActor, _ names: [String: String]) async throws {
        switch step.action {
        case .connects(let options):
            let presence = options["presence"] ?? "0"
            try await actor.connect(
                port: suite.clientPort,
                resource: options["resource"] ?? step.actor,
                managed: options["management"] == "on",
                presence: presence == "none" ? nil : presence
            )
        case .sends(let xml): try await actor.send(expand(xml, names))
        case .receives(let expected): try await receive(expected.map { expand($0, names) }, actor)
        case .receivesNothing: try await actor.receiveNothing()
        case .disconnects: try await actor.disconnect()
        case .breaks: await actor.breakConnection()
        case .resumes: try await actor.resume(port: suite.clientPort)
        case .acknowledges: try await actor.acknowledge()
        case .isAcknowledged: try await actor.awaitAcknowledgement()
        }
    }

    private func receive(_ expected: [String], _ actor: ScenarioActor) async throws {
        var patterns = try expected.map { StanzaPattern(expected: try Self.parse($0)) }
        while !patterns.isEmpty {
            let stanza = try await actor.nextStanza()
            let differences = patterns.map { $0.difference(from: stanza) }
            guard let match = differences.firstIndex(of: nil) else {
                let reasons = differences.compactMap { $0 }.joined(separator: "; or ")
                throw Failure(description: "\(reasons) in \(Self.text(stanza))")
            }
            patterns.remove(at: match)
        }
    }

    /// `$name` becomes the actor's address; the longest name wins.
    private func expand(_ xml: String, _ names: [String: String]) -> String {
        var result = ""
        var rest = Substring(xml)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            let word = rest.prefix { $0.isLetter || $0.isNumber }
            result += names[String(word)] ?? "$\(word)"
            rest = rest[word.endIndex...]
        }
        return result + rest
    }

    private static func parse(_ xml: String) throws -> Element {
        let nodes = try Element.parseFragment(.init(string: xml), namespace: "jabber:client")
        for case .element(let element) in nodes { return element }
        throw Failure(description: "no element: \(xml)")
    }

    private static func text(_ element: Element) -> String {
        var buffer = ByteBuffer()
        element.write(to: &buffer, inheriting: "jabber:client")
        return String(buffer: buffer)
    }
}
