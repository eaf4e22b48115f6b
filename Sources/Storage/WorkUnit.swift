// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Requests that take effect together or not at all, and the promise of their results.
struct WorkUnit: Sendable {
    let requests: [Request]
    let promise: EventLoopPromise<[StatementResult]>
    /// About as many bytes as it occupies in a queue.
    let weight: Int
    /// Whether it may be sent again after a connection was lost with its outcome unknown.
    let isRepeatable: Bool
    /// How often it was sent on a connection that was then lost.
    var losses = 0
}

/// One trip of a group of units to the server and back: what is sent, and what the answers mean.
///
/// A value without I/O: the worker sends ``steps`` and one sync, and feeds in each answer. The server answers each
/// step with a result and an end; after a failure it skips all steps up to the sync.
struct GroupTrip {
    /// One message of the pipeline that has an answer.
    enum Step: Equatable {
        case prepare(Statement, unit: Int)
        case run(unit: Int, request: Int)

        var unit: Int {
            switch self {
            case .prepare(_, let unit), .run(let unit, _): unit
            }
        }
    }

    /// How the trip ended.
    enum Verdict {
        /// Committed: the results of each unit.
        case committed([[StatementResult]])
        /// Nothing is kept. The unit that failed, if it is known, and why.
        case rolledBack(unit: Int?, DatabaseError)
    }

    let units: [WorkUnit]
    let steps: [Step]
    /// The names of the statements that this trip prepared.
    private(set) var prepared: [String] = []
    private var position = 0
    private var results: [[StatementResult]]
    private var failure: (unit: Int?, error: DatabaseError)?

    /// Plans a trip on a connection that knows the given statements.
    init(_ units: [WorkUnit], known: Set<String>) {
        var known = known
        var steps: [Step] = []
        for (index, unit) in units.enumerated() {
            for (number, request) in unit.requests.enumerated() {
                if known.insert(request.statement.name).inserted {
                    steps.append(.prepare(request.statement, unit: index))
                }
                steps.append(.run(unit: index, request: number))
            }
        }
        self.units = units
        self.steps = steps
        results = units.map { _ in [] }
    }

    mutating func resultReceived(_ result: StatementResult) {
        guard steps.indices.contains(position) else { return }
        switch steps[position] {
        case .prepare(let statement, _): prepared.append(statement.name)
        case .run(let unit, _): results[unit].append(result)
        }
    }

    mutating func failureReceived(_ error: DatabaseError) {
        guard failure == nil else { return }
        // A failure after the last step is one of the commit itself: no unit is to blame.
        failure = (steps.indices.contains(position) ? steps[position].unit : nil, error)
    }

    mutating func endReceived() {
        position += 1
    }

    /// The sync was answered: the verdict.
    func synced() -> Verdict {
        if let failure { return .rolledBack(unit: failure.unit, failure.error) }
        return .committed(results)
    }
}
