// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import Testing

@testable import Storage

/// Which units share a transaction, and what the answers to a group mean.
@Suite struct GroupTests {
    private static let statements = ["a", "b"].map { Statement($0, "SELECT '\($0)'") }

    /// Units of a weight of 1, told apart by their parameter; the last statement alternates.
    private func units(_ numbers: some Sequence<Int>) -> [WorkUnit] {
        numbers.map { number in
            let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: [StatementResult].self)
            promise.succeed([])
            let request = Request(Self.statements[number % 2], [.int(Int64(number))])
            return WorkUnit(requests: [request], promise: promise, weight: 1, isRepeatable: true)
        }
    }

    private func numbers(_ units: [WorkUnit]) -> [Int] {
        units.map { unit in
            guard case .int(let number)? = unit.requests.first?.values.first else { return -1 }
            return Int(number)
        }
    }

    @Test(
        "A group is bounded by number and by weight, but never empty",
        arguments: [
            (3, 100, [[0, 1, 2], [3, 4]]), (10, 2, [[0, 1], [2, 3], [4]]), (10, 0, [[0], [1], [2], [3], [4]]),
            (0, 100, [[0], [1], [2], [3], [4]]),
        ]
    )
    func bounds(maximumUnits: Int, maximumWeight: Int, expected: [[Int]]) {
        var queue = GroupQueue(maximumUnits: maximumUnits, maximumWeight: maximumWeight)
        queue.append(units(0..<5))
        var groups: [[Int]] = []
        while !queue.isEmpty { groups.append(numbers(queue.nextGroup())) }
        #expect(groups == expected)
        #expect(queue.nextGroup().isEmpty)
    }

    /// Runs a queue with some units that fail; gives the commits in order, and how many trips it took.
    private func run(
        _ count: Int,
        failing: Set<Int>,
        knowsCulprit: Bool
    ) -> (commits: [[Int]], failed: [Int], trips: Int) {
        var queue = GroupQueue(maximumUnits: count, maximumWeight: .max)
        queue.append(units(0..<count))
        var commits: [[Int]] = []
        var failed: [Int] = []
        var trips = 0
        while !queue.isEmpty {
            // What is added meanwhile waits behind what is put back.
            if trips == 0 { queue.append(units([count])) }
            trips += 1
            let group = queue.nextGroup()
            guard let culprit = numbers(group).firstIndex(where: { failing.contains($0) }) else {
                commits.append(numbers(group))
                continue
            }
            if group.count == 1 {
                failed += numbers(group)
            } else {
                queue.putBack(group, culprit: knowsCulprit ? culprit : nil)
            }
        }
        return (commits, failed, trips)
    }

    @Test("A group that failed is cut at the unit that failed, and keeps its order", arguments: [true, false])
    func cuts(knowsCulprit: Bool) {
        for failing in [[0], [9], [4], [4, 5], [0, 3, 9], Array(0..<10)] {
            let (commits, failed, _) = run(10, failing: Set(failing), knowsCulprit: knowsCulprit)
            #expect(commits.flatMap { $0 } == (0...10).filter { !failing.contains($0) })
            #expect(failed == failing)
        }
    }

    @Test("One failure costs three trips more, a group of failures stays linear")
    func trips() {
        #expect(run(500, failing: [250], knowsCulprit: true).trips == 5)
        #expect(run(500, failing: Set(0..<500), knowsCulprit: true).trips < 530)
    }

    @Test("What was under way when the connection was lost goes first")
    func lost() {
        var queue = GroupQueue(maximumUnits: 10, maximumWeight: 10)
        queue.append(units(0..<3))
        let group = queue.nextGroup()
        queue.append(units(3..<5))
        queue.putBackLost(Array(group.dropFirst()))
        #expect(numbers(queue.nextGroup()) == [1, 2, 3, 4])
    }

    @Test("A statement is prepared once in a connection's life")
    func preparation() {
        let trip = GroupTrip(units([0, 2, 1, 3]), known: ["b"])
        #expect(
            trip.steps == [
                .prepare(Self.statements[0], unit: 0), .run(unit: 0, request: 0), .run(unit: 1, request: 0),
                .run(unit: 2, request: 0), .run(unit: 3, request: 0),
            ]
        )
    }

    @Test("Answers find their units")
    func committed() {
        var trip = GroupTrip(units([0, 1]), known: ["b"])
        for affected in [0, 1, 2] {
            trip.resultReceived(StatementResult(rows: [], affected: affected))
            trip.endReceived()
        }
        guard case .committed(let results) = trip.synced() else {
            Issue.record("not committed")
            return
        }
        #expect(results.map { $0.map(\.affected) } == [[1], [2]])
        #expect(trip.prepared == ["a"])
    }

    @Test("A failure names its unit, and what was prepared before it stays prepared")
    func failed() {
        var trip = GroupTrip(units([0, 1, 2]), known: [])
        trip.resultReceived(StatementResult(rows: [], affected: 0))
        trip.endReceived()
        trip.resultReceived(StatementResult(rows: [], affected: 0))
        trip.endReceived()
        trip.failureReceived(.overloaded)
        for _ in 0..<3 { trip.endReceived() }
        guard case .rolledBack(let unit, .overloaded) = trip.synced() else {
            Issue.record("not rolled back")
            return
        }
        #expect(unit == 1)
        #expect(trip.prepared == ["a"])
    }

    @Test("A commit that fails blames no unit, and answers nobody asked for are ignored")
    func failedCommit() {
        var trip = GroupTrip(units([0]), known: ["a"])
        trip.resultReceived(StatementResult(rows: [], affected: 0))
        trip.endReceived()
        trip.resultReceived(StatementResult(rows: [], affected: 0))
        trip.failureReceived(.unavailable)
        guard case .rolledBack(nil, .unavailable) = trip.synced() else {
            Issue.record("not rolled back")
            return
        }
    }

    // MARK: Fences

    private func claimed(_ numbers: some Sequence<Int>, epoch: UInt64) -> [WorkUnit] {
        units(numbers).map { unit in
            var unit = unit
            unit.claim = OwnerClaim(user: "\(self.numbers([unit])[0])", epoch: epoch)
            return unit
        }
    }

    @Test("A new fence takes out what is older and not ours, and remembers what it let pass")
    func judgement() {
        var queue = GroupQueue(maximumUnits: 10, maximumWeight: 10)
        queue.append(claimed(0..<3, epoch: 1) + units([3]) + claimed([4, 5], epoch: 2))
        #expect(numbers(queue.judge(by: Fence(epoch: 2) { $0 == "1" })) == [0, 2])
        #expect(numbers(queue.judge(by: Fence(epoch: 2) { _ in false })) == [])
        #expect(numbers(queue.judge(by: Fence(epoch: 3) { $0 != "4" })) == [4])
        let group = queue.nextGroup()
        #expect(numbers(group) == [1, 3, 5])
        #expect(group.map { $0.claim?.epoch } == [3, nil, 3])
    }

    @Test("A fence goes before all, is prepared once, and its failure blames no unit")
    func fencedTrip() {
        var trip = GroupTrip(units([0]), known: ["a"], epoch: 7)
        #expect(
            trip.steps == [.prepare(Fence.statement, unit: nil), .fence(epoch: 7), .run(unit: 0, request: 0)]
        )
        trip.resultReceived(StatementResult(rows: [], affected: 0))
        trip.endReceived()
        trip.failureReceived(.fenced)
        for _ in 0..<2 { trip.endReceived() }
        guard case .stopped(.fenced) = trip.synced() else {
            Issue.record("not stopped")
            return
        }
        #expect(trip.prepared == ["fence"])
        var passed = GroupTrip(units([0]), known: ["a", "fence"], epoch: 7)
        for affected in [1, 5] {
            passed.resultReceived(StatementResult(rows: [], affected: affected))
            passed.endReceived()
        }
        guard case .committed(let results) = passed.synced() else {
            Issue.record("not committed")
            return
        }
        #expect(results.map { $0.map(\.affected) } == [[5]])
    }
}
