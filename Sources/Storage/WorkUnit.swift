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
    /// Nil: it may run under any epoch.
    var claim: OwnerClaim?
    /// How often it was sent on a connection that was then lost.
    var losses = 0
}

/// A user whose owner we were when a unit was asked for.
struct OwnerClaim: Sendable, Equatable {
    let user: String
    /// The last epoch under which the user was known to be ours.
    var epoch: UInt64
}

/// A new epoch, and whose units may go on under it.
struct Fence: Sendable {
    let epoch: UInt64
    let keeps: @Sendable (_ user: String) -> Bool

    /// What the function raises under another epoch.
    static let sqlstate = "JD001"
    /// The first step of each group that has a claim.
    static let statement = Statement("fence", isRepeatable: true, "SELECT owner_fence($1)")
}

extension Request {
    /// Fails with ``DatabaseError/fenced`` unless this is the epoch in PostgreSQL, and keeps it so to the end of the
    /// transaction: the first request of one that is about many users (on ``Lane/anyEpoch(_:)``).
    package static func fence(epoch: UInt64) -> Request {
        Request(Fence.statement, [.int(Int64(clamping: epoch))])
    }
}

/// One trip of a group of units to the server and back: what is sent, and what the answers mean.
///
/// A value without I/O: the worker sends ``steps`` and one sync, and feeds in each answer. The server answers each
/// step with a result and an end; after a failure it skips all steps up to the sync.
struct GroupTrip {
    /// One message of the pipeline that has an answer.
    enum Step: Equatable {
        /// The unit is nil for the statement of the fence.
        case prepare(Statement, unit: Int?)
        /// Fails unless the epoch is this one.
        case fence(epoch: UInt64)
        case run(unit: Int, request: Int)

        /// Nil for the fence.
        var unit: Int? {
            switch self {
            case .prepare(_, let unit): unit
            case .fence: nil
            case .run(let unit, _): unit
            }
        }
    }

    /// How the trip ended.
    enum Verdict {
        /// Committed: the results of each unit.
        case committed([[StatementResult]])
        /// Nothing is kept. The unit that failed, if it is known, and why.
        case rolledBack(unit: Int?, DatabaseError)
        /// Nothing is kept, and no unit is to blame: the fence failed, with ``DatabaseError/fenced`` if it did its work.
        case stopped(DatabaseError)
    }

    let units: [WorkUnit]
    let steps: [Step]
    /// The names of the statements that this trip prepared.
    private(set) var prepared: [String] = []
    private var position = 0
    private var results: [[StatementResult]]
    private var failure: Verdict?

    /// Plans a trip on a connection that knows the given statements; `epoch` is the one that its fence asks for.
    init(_ units: [WorkUnit], known: Set<String>, epoch: UInt64? = nil) {
        var known = known
        var steps: [Step] = []
        if let epoch {
            if known.insert(Fence.statement.name).inserted { steps.append(.prepare(Fence.statement, unit: nil)) }
            steps.append(.fence(epoch: epoch))
        }
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
        case .fence: break
        case .run(let unit, _): results[unit].append(result)
        }
    }

    mutating func failureReceived(_ error: DatabaseError) {
        guard failure == nil else { return }
        // A failure after the last step is one of the commit itself: no unit is to blame.
        guard steps.indices.contains(position) else {
            failure = .rolledBack(unit: nil, error)
            return
        }
        let unit = steps[position].unit
        failure = unit == nil ? .stopped(error) : .rolledBack(unit: unit, error)
    }

    mutating func endReceived() {
        position += 1
    }

    /// The sync was answered: the verdict.
    func synced() -> Verdict {
        failure ?? .committed(results)
    }
}
