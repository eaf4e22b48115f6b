// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing

@testable import SM

@Suite struct OwnershipStateMachineTests {
    /// The machine in a box: an expectation can not change a variable. Times are seconds.
    private final class Subject {
        var machine = OwnershipStateMachine(name: "a")
        var known: UInt64 { machine.known }

        func join() -> [OwnershipStateMachine.Action] { machine.join() }
        func leave() -> [OwnershipStateMachine.Action] { machine.leave() }

        func joined(_ map: OwnershipMap, at time: Double) -> [OwnershipStateMachine.Action] {
            machine.joined(map, now: OwnershipStateMachineTests.time(time))
        }

        func joinFailed(at time: Double) -> [OwnershipStateMachine.Action] {
            machine.joinFailed(now: OwnershipStateMachineTests.time(time))
        }

        func wokeUp(at time: Double) -> [OwnershipStateMachine.Action] {
            machine.wokeUp(now: OwnershipStateMachineTests.time(time))
        }

        func look(at time: Double) -> [OwnershipStateMachine.Action] {
            machine.look(now: OwnershipStateMachineTests.time(time))
        }

        func failed(_ term: Int, at time: Double) -> [OwnershipStateMachine.Action] {
            machine.beatFailed(term: term, now: OwnershipStateMachineTests.time(time))
        }

        func answered(
            _ term: Int = 1,
            at time: Double,
            isMember: Bool = true,
            epoch: UInt64 = 1,
            maps: [OwnershipMap] = [],
            peers: [OwnershipPeer] = []
        ) -> [OwnershipStateMachine.Action] {
            let reading = OwnershipReading(isMember: isMember, epoch: epoch, maps: maps, peers: peers)
            return machine.beatAnswered(reading, term: term, now: OwnershipStateMachineTests.time(time))
        }

        func evictionEnded(_ term: Int = 1, at time: Double) -> [OwnershipStateMachine.Action] {
            machine.evictionEnded(term: term, now: OwnershipStateMachineTests.time(time))
        }
    }

    private static func time(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(UInt64((seconds * 1e9).rounded())) }

    private func wakeUp(_ seconds: Double) -> OwnershipStateMachine.Action { .wakeUp(at: Self.time(seconds)) }

    private func map(_ epoch: UInt64, _ names: String...) -> OwnershipMap {
        OwnershipMap(epoch: epoch, instances: names)
    }

    private func peer(_ name: String, _ heartbeat: Int64, incarnation: String = "x") -> OwnershipPeer {
        OwnershipPeer(name: name, incarnation: incarnation, heartbeat: heartbeat)
    }

    /// A member since time 0, alone, in epoch 1.
    private func member() -> Subject {
        let subject = Subject()
        _ = subject.join()
        _ = subject.joined(map(1, "a"), at: 0)
        return subject
    }

    @Test("Joining is tried again, later and later, and publishes its map")
    func joining() {
        let subject = Subject()
        #expect(subject.join() == [.join(known: 0)])
        #expect(subject.join() == [])
        #expect(subject.wokeUp(at: 0) == [])
        #expect(subject.joinFailed(at: 0) == [wakeUp(0.25)])
        #expect(subject.wokeUp(at: 0.25) == [.join(known: 0)])
        #expect(subject.joinFailed(at: 1) == [wakeUp(1.5)])
        for delay in [1.0, 2.0, 2.0] {
            #expect(subject.wokeUp(at: 2) == [.join(known: 0)])
            #expect(subject.joinFailed(at: 3) == [wakeUp(3 + delay)])
        }
        #expect(subject.wokeUp(at: 5) == [.join(known: 0)])
        // Without us it is no map to join by.
        #expect(subject.joined(map(4, "b"), at: 5) == [wakeUp(7)])
        #expect(subject.wokeUp(at: 7) == [.join(known: 0)])
        #expect(subject.joined(map(4, "a", "b"), at: 7) == [.publish(map(4, "a", "b")), .finishJoin, wakeUp(8)])
        #expect(subject.known == 4)
    }

    @Test("It beats each second, and at once again if a look was wanted meanwhile")
    func beats() {
        let subject = member()
        #expect(subject.wokeUp(at: 1) == [.beat(known: 1, term: 1), wakeUp(2)])
        #expect(subject.answered(at: 1.1) == [])
        #expect(subject.look(at: 1.5) == [.beat(known: 1, term: 1), wakeUp(2.5)])
        #expect(subject.look(at: 1.6) == [])
        #expect(subject.answered(at: 1.7) == [.beat(known: 1, term: 1), wakeUp(2.7)])
        // An answer that takes its time.
        #expect(subject.wokeUp(at: 2.7) == [])
        #expect(subject.failed(1, at: 4) == [.beat(known: 1, term: 1), wakeUp(5)])
        #expect(subject.failed(1, at: 4.1) == [])
        #expect(subject.answered(at: 4.2) == [])
    }

    @Test("Maps are published one by one, in order")
    func maps() {
        let subject = member()
        _ = subject.look(at: 1)
        let maps = [map(2, "a", "b"), map(3, "a")]
        #expect(subject.answered(at: 1, epoch: 3, maps: maps) == [.publish(maps[0]), .publish(maps[1])])
        #expect(subject.look(at: 2) == [.beat(known: 3, term: 1), wakeUp(3)])
    }

    @Test("Who is no member, or cannot follow, is evicted, and can join again")
    func eviction() {
        let readings: [(OwnershipStateMachine.Reason, Bool, UInt64, [OwnershipMap])] = [
            (.removed, false, 1, []), (.removed, false, 2, [map(2, "b")]), (.olderDatabase, true, 0, []),
            (.missedMaps, true, 3, [map(3, "a")]), (.missedMaps, true, 2, [map(2, "b")]),
            (.missedMaps, true, 4, [map(2, "a"), map(4, "a")]),
        ]
        for (reason, isMember, epoch, maps) in readings {
            let subject = member()
            _ = subject.look(at: 1)
            let actions = subject.answered(at: 1, isMember: isMember, epoch: epoch, maps: maps)
            #expect(actions == [.reportEviction(reason)])
            #expect(subject.wokeUp(at: 2) == [])
            #expect(subject.look(at: 2) == [])
            #expect(subject.join() == [.join(known: 1)])
            // What was asked for before counts no more.
            #expect(subject.answered(at: 2) == [])
            #expect(subject.evictionEnded(at: 2) == [])
            #expect(subject.joined(map(5, "a"), at: 2) == [.publish(map(5, "a")), .finishJoin, wakeUp(3)])
            #expect(subject.answered(at: 2) == [])
        }
    }

    @Test("A peer that stands still for 5 s of reads is evicted, once at a time, and not for our own sake")
    func evicting() {
        let subject = member()
        var actions: [OwnershipStateMachine.Action] = []
        for second in 1...6 {
            _ = subject.look(at: Double(second))
            let peers = [peer("a", 7), peer("b", 1), peer("c", Int64(second))]
            actions = subject.answered(at: Double(second) + 0.1, peers: peers)
            if second < 6 { #expect(actions == []) }
        }
        // From 1.1 to 6 are 4.9 s.
        #expect(actions == [])
        _ = subject.look(at: 7)
        #expect(subject.answered(at: 7.1, peers: [peer("b", 1), peer("c", 7)]) == [.evict([peer("b", 1)], term: 1)])
        _ = subject.look(at: 8)
        #expect(subject.answered(at: 8.1, peers: [peer("b", 1), peer("c", 7)]) == [])
        #expect(subject.evictionEnded(at: 8.2) == [.beat(known: 1, term: 1), wakeUp(9.2)])
        #expect(subject.answered(at: 8.3, peers: [peer("b", 1), peer("c", 8)]) == [.evict([peer("b", 1)], term: 1)])
    }

    @Test("Leaving is asked for once; a join on its way makes no member any more")
    func leaving() {
        let subject = member()
        _ = subject.look(at: 1)
        #expect(subject.leave() == [.leave])
        #expect(subject.leave() == [])
        #expect(subject.answered(at: 1) == [])
        #expect(subject.wokeUp(at: 2) == [])
        let joining = Subject()
        #expect(joining.leave() == [])
        _ = joining.join()
        #expect(joining.leave() == [.leave])
        #expect(joining.joined(map(1, "a"), at: 1) == [])
        joining.machine.left()
        #expect(joining.join() == [.join(known: 0)])
    }

    // MARK: PeerWatch

    /// Sending and arrival of each read, and whether the last one finds the peer.
    private typealias Reads = (reads: [(Double, Double)], isStill: Bool)

    private static let readsOfOnePeer: [Reads] = [
        ([(0.0, 0.1), (1, 1.1), (2, 2.1), (3, 3.1), (4, 4.1), (5, 5.1)], false),
        ([(0, 0.1), (1, 1.1), (2, 2.1), (3, 3.1), (4, 4.1), (5.2, 5.3)], true),
        ([(0, 0.1), (2, 2.1), (4, 4.1), (6, 6.1)], true),
        // The database was away, or we were stopped, before, during or after a read.
        ([(0, 0.1), (1, 1.1), (2, 2.1), (6, 6.1)], false),
        ([(0, 0.1), (60, 60.1)], false),
        ([(0, 0.1), (1, 60)], false),
        ([(0, 0.1), (1, 60), (61, 61.1), (63, 63.1), (64, 64.1)], false),
        ([(0, 0.1), (1, 60), (61, 61.1), (63, 63.1), (65, 65.1)], true),
        ([(0, 3), (3, 6), (6, 9)], false),
        ([(0, 3), (3, 6), (6, 9), (9, 12)], true),
    ]

    @Test("Time counts between reads that worked and are not far apart", arguments: readsOfOnePeer.indices)
    func gaps(index: Int) {
        let (reads, isStill) = Self.readsOfOnePeer[index]
        var watch = PeerWatch(patience: .seconds(5), longestGap: .seconds(3))
        var still: [OwnershipPeer] = []
        for (sent, arrived) in reads {
            still = watch.read([peer("b", 1)], sent: Self.time(sent), arrived: Self.time(arrived))
        }
        #expect(still == (isStill ? [peer("b", 1)] : []))
    }

    @Test("A heartbeat, another incarnation and an absence begin the count anew")
    func changes() {
        for change in [[peer("b", 2)], [peer("b", 1, incarnation: "y")], []] {
            var watch = PeerWatch(patience: .seconds(5), longestGap: .seconds(3))
            var still: [OwnershipPeer] = []
            for second in 0..<8 {
                let peers = second == 3 ? change : [peer("b", 1)]
                still = watch.read(peers, sent: Self.time(Double(second)), arrived: Self.time(Double(second)))
            }
            #expect(still == [])
        }
    }
}
