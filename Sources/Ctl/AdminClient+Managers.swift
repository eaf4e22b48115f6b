// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import Daemon

/// Questions to several session managers, and to the one of them that owns a user.
extension AdminClient {
    /// What several processes answered, and why some did not.
    struct Answers: Sendable {
        /// Of each that answered, in the order of their names.
        var rows: [[[AdminField]]] = []
        var refusals: [Refusal] = []

        /// To be called when the rows are printed: a list without those of some processes is told from a whole one.
        func requireAll() throws {
            guard let first = refusals.first else { return }
            let others = refusals.dropFirst().map { "; \($0.text)" }.joined()
            throw Refusal(first, "this is not all: \(first.text)\(others)")
        }
    }

    /// Asks the process that owns the user. Any of those that serve the domain knows which one that is, and says so by
    /// `redirect`; while the owner is gone, or two have different maps, it is asked for again until the time is over.
    func askOwner(
        servedBy domain: String,
        _ command: String,
        _ arguments: [AdminField] = []
    ) async throws -> [[AdminField]] {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        var asked = try await instance(serving: domain)
        var hops = 0
        while true {
            do {
                let response = try await response(asked, command, arguments)
                guard let error = response.error else { return response.rows }
                guard error.condition == "redirect", clock.now < deadline else { throw Refusal(error) }
                asked = error.text
            } catch let refusal as Refusal where refusal.isAbsence && clock.now < deadline {
                asked = try await instance(serving: domain)
            }
            // One hop is the rule. Beyond it, the map is changing.
            hops += 1
            if hops > 1 { try await Task.sleep(for: .milliseconds(200)) }
        }
    }

    /// Asks all that serve the domains, at the same time. What those say who answered is worth having without the others.
    func askAll(
        serving domains: [String],
        _ ask: @escaping @Sendable (_ instance: String) async throws -> [[AdminField]]
    ) async throws -> Answers {
        try await askAll(try await instances(serving: domains).sorted(), ask)
    }

    /// All S2S that are there; none is a refusal.
    func federation() async throws -> [String] {
        let all = try await instances().filter { InstanceName(routerName: $0)?.kind == .s2s }
        guard !all.isEmpty else { throw Refusal(.unavailable, "no S2S runs: supervisor.s2s says how many there are") }
        return all
    }

    /// Asks these processes, at the same time.
    func askAll(
        _ all: [String],
        _ ask: @escaping @Sendable (_ instance: String) async throws -> [[AdminField]]
    ) async throws -> Answers {
        try await withThrowingTaskGroup(of: (Int, Result<[[AdminField]], Refusal>).self) { group in
            for (index, instance) in all.enumerated() {
                group.addTask {
                    do {
                        return (index, .success(try await ask(instance)))
                    } catch let refusal as Refusal {
                        return (index, .failure(refusal))
                    }
                }
            }
            var results: [Int: Result<[[AdminField]], Refusal>] = [:]
            for try await (index, result) in group { results[index] = result }
            var answers = Answers()
            for index in all.indices {
                switch results[index] {
                case .success(let rows): answers.rows.append(rows)
                case .failure(let refusal): answers.refusals.append(refusal)
                case nil: break
                }
            }
            // Nothing at all is no list.
            if answers.rows.isEmpty, let refusal = answers.refusals.first { throw refusal }
            return answers
        }
    }
}
