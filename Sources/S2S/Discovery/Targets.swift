// SPDX-License-Identifier: Apache-2.0

import DNS

/// A host and port at which a domain's server may be.
struct Target: Hashable, Sendable, CustomStringConvertible {
    /// In A-labels, or an address.
    var host: String
    var port: Int
    /// TLS begins with the first byte (XEP-0368).
    var isDirectTLS: Bool
    /// DNSSEC proved that the domain's server is there, so that TLSA records count (RFC 7673 §3).
    var isSecure: Bool

    var description: String { "\(self.host):\(self.port)\(self.isDirectTLS ? " (direct TLS)" : "")" }
}

/// The order in which a domain's hosts are tried: RFC 2782, with both kinds of records mixed (XEP-0368 §3).
enum Targets {
    /// A record and what it is about.
    private struct Candidate {
        let record: ServiceRecord
        let isDirectTLS: Bool
        let isSecure: Bool
    }

    /// So many hosts are tried: one answer of DNS can name thousands, at each of which connecting may take its time.
    static let maximumCount = 16

    /// One list for each priority, the best one first.
    ///
    /// Nil: the domain says that it has no server (all its records have the root as their target). Empty: it has no
    /// records.
    static func order(
        direct: Answer?,
        startTLS: Answer?,
        using random: inout some RandomNumberGenerator
    ) -> [[Target]]? {
        var candidates: [Candidate] = []
        for (answer, isDirectTLS) in [(direct, true), (startTLS, false)] {
            guard let answer else { continue }
            for record in answer.records.compactMap(ServiceRecord.init) {
                candidates.append(
                    Candidate(record: record, isDirectTLS: isDirectTLS, isSecure: answer.isSecure)
                )
            }
        }
        let there = candidates.filter { !$0.record.target.isEmpty }
        if there.isEmpty, !candidates.isEmpty { return nil }
        var groups: [[Target]] = []
        var room = Self.maximumCount
        for priority in Set(there.map(\.record.priority)).sorted() where room > 0 {
            let group = Self.byWeight(there.filter { $0.record.priority == priority }, using: &random).prefix(room)
            room -= group.count
            groups.append(Array(group))
        }
        return groups
    }

    /// RFC 2782: each next one is chosen by chance, in proportion to its weight.
    private static func byWeight(
        _ candidates: [Candidate],
        using random: inout some RandomNumberGenerator
    ) -> [Target] {
        // Those of weight 0 first, so that they have a small chance.
        var rest = candidates.sorted { $0.record.weight < $1.record.weight }
        var ordered: [Target] = []
        while !rest.isEmpty {
            let total = rest.reduce(0) { $0 + Int($1.record.weight) }
            let chosen = Int.random(in: 0...total, using: &random)
            var sum = 0
            let index = rest.firstIndex { candidate in
                sum += Int(candidate.record.weight)
                return sum >= chosen
            }
            let candidate = rest.remove(at: index ?? 0)
            ordered.append(
                Target(
                    host: candidate.record.target,
                    port: Int(candidate.record.port),
                    isDirectTLS: candidate.isDirectTLS,
                    isSecure: candidate.isSecure
                )
            )
        }
        return ordered
    }
}
