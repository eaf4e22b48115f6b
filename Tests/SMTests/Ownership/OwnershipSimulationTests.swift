// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import TestSupport
import Testing

@testable import SM

/// Keepers without I/O over a database without I/O, through random schedules of stops, restarts, outages and delays.
@Suite struct OwnershipSimulationTests {
    /// What the functions of the migration do, as values.
    private struct FakeDatabase {
        var epoch: UInt64 = 0
        var maps: [OwnershipMap] = []
        var members: [String: OwnershipPeer] = [:]
        private var clock: Int64 = 0

        mutating func join(_ name: String, _ incarnation: String, known: UInt64) -> OwnershipMap? {
            if members[name]?.incarnation != incarnation {
                clock += 1_000_000
                members[name] = OwnershipPeer(name: name, incarnation: incarnation, heartbeat: clock)
                raise(known)
            }
            return maps.last
        }

        mutating func leave(_ name: String, _ incarnation: String) {
            guard members[name]?.incarnation == incarnation else { return }
            members[name] = nil
            raise(0)
        }

        mutating func beat(_ name: String, _ incarnation: String, known: UInt64) -> OwnershipReading {
            let isMember = members[name]?.incarnation == incarnation
            let peers = Array(members.values)
            if isMember { members[name]?.heartbeat += 1 }
            let new = maps.filter { $0.epoch > known }
            return OwnershipReading(isMember: isMember, epoch: epoch, maps: new, peers: peers)
        }

        mutating func evict(_ peers: [OwnershipPeer]) {
            let gone = peers.filter { members[$0.name] == $0 }
            for peer in gone { members[peer.name] = nil }
            if !gone.isEmpty { raise(0) }
        }

        private mutating func raise(_ known: UInt64) {
            epoch = max(epoch, known) + 1
            maps.append(OwnershipMap(epoch: epoch, instances: members.keys))
        }
    }

    /// A process: it may be stopped, and then what should happen to it happens when it goes on.
    private struct Process {
        var name: String
        var incarnation = 1
        var machine: OwnershipStateMachine
        var wakeUp: NIODeadline?
        var stoppedUntil = NIODeadline.uptimeNanoseconds(0)
        /// When its heartbeat last reached the database, or it joined.
        var lastBeat = NIODeadline.uptimeNanoseconds(0)
        var started = NIODeadline.uptimeNanoseconds(0)
        var published: [OwnershipMap] = []
        var evictions = 0

        init(_ name: String) {
            self.name = name
            machine = OwnershipStateMachine(name: name)
        }
    }

    private enum Event {
        case wakeUp
        case joined(OwnershipMap?)
        case beat(OwnershipReading?, term: Int)
        case evicted(term: Int)
        case left
    }

    private enum Call {
        case join(UInt64)
        case leave
        case beat(UInt64, term: Int)
        case evict([OwnershipPeer], term: Int)
    }

    private final class World {
        var generator: TestSupport.SeededGenerator
        var database = FakeDatabase()
        var now = NIODeadline.uptimeNanoseconds(0)
        var processes: [Process]
        /// The database answers nothing until then.
        var awayUntil = NIODeadline.uptimeNanoseconds(0)
        /// Calls on their way to the database, and answers on their way back, with the incarnation that made them.
        var calls: [(at: NIODeadline, process: Int, incarnation: Int, call: Call)] = []
        var answers: [(at: NIODeadline, process: Int, incarnation: Int, event: Event)] = []
        var faults: [String] = []

        init(seed: UInt64, count: Int) {
            generator = TestSupport.SeededGenerator(seed: seed)
            processes = (1...count).map { Process("sm-\($0)") }
        }

        func start(_ index: Int) { run(processes[index].machine.join(), index) }

        func run(_ actions: [OwnershipStateMachine.Action], _ index: Int) {
            for action in actions {
                switch action {
                case .join(let known): send(.join(known), index)
                case .leave: send(.leave, index)
                case .beat(let known, let term): send(.beat(known, term: term), index)
                case .evict(let peers, let term): send(.evict(peers, term: term), index)
                case .wakeUp(let deadline): processes[index].wakeUp = deadline
                case .publish(let map): publish(map, index)
                case .finishJoin: break
                case .reportEviction:
                    processes[index].evictions += 1
                    processes[index].published = []
                    run(processes[index].machine.join(), index)
                }
            }
        }

        private func publish(_ map: OwnershipMap, _ index: Int) {
            let process = processes[index]
            if let last = process.published.last, map.epoch != last.epoch + 1 { faults.append("a gap before \(map)") }
            if !map.contains(process.name) { faults.append("\(process.name) published \(map)") }
            if map.epoch > database.epoch { faults.append("\(map) was never made") }
            processes[index].published.append(map)
        }

        private func delay() -> TimeAmount { .milliseconds(Int64(generator.below(20) == 0 ? 400 : 5)) }

        private func send(_ call: Call, _ index: Int) {
            calls.append((now + delay(), index, processes[index].incarnation, call))
        }

        /// The database does, or while it is away fails, what has reached it.
        private func serve() {
            let due = calls.filter { $0.at <= now }
            calls.removeAll { $0.at <= now }
            for (_, index, incarnation, call) in due {
                let event = now < awayUntil ? failure(call) : perform(call, index, "\(incarnation)")
                answers.append((now + delay(), index, incarnation, event))
            }
        }

        private func failure(_ call: Call) -> Event {
            switch call {
            case .join: .joined(nil)
            case .leave: .left
            case .beat(_, let term): .beat(nil, term: term)
            case .evict(_, let term): .evicted(term: term)
            }
        }

        private func perform(_ call: Call, _ index: Int, _ incarnation: String) -> Event {
            let name = processes[index].name
            switch call {
            case .join(let known):
                processes[index].lastBeat = now
                return .joined(database.join(name, incarnation, known: known))
            case .leave:
                database.leave(name, incarnation)
                return .left
            case .beat(let known, let term):
                if database.members[name]?.incarnation == incarnation { processes[index].lastBeat = now }
                return .beat(database.beat(name, incarnation, known: known), term: term)
            case .evict(let peers, let term):
                checkEviction(peers)
                database.evict(peers)
                return .evicted(term: term)
            }
        }

        /// Who is evicted has not raised its heartbeat for 5 s, and had a reason.
        private func checkEviction(_ peers: [OwnershipPeer]) {
            for peer in peers where database.members[peer.name] == peer {
                guard let process = processes.first(where: { $0.name == peer.name }) else { continue }
                let silence = now - process.lastBeat
                if silence < .seconds(5) { faults.append("\(peer.name) was evicted after \(silence)") }
                if process.stoppedUntil <= process.lastBeat, process.started <= process.lastBeat {
                    faults.append("\(peer.name) was evicted although it ran")
                }
            }
        }

        private func deliver() {
            let due = answers.filter { $0.at <= now && processes[$0.process].stoppedUntil <= now }
            answers.removeAll { $0.at <= now && processes[$0.process].stoppedUntil <= now }
            for (_, index, incarnation, event) in due where processes[index].incarnation == incarnation {
                handle(event, index)
            }
            for index in processes.indices where processes[index].stoppedUntil <= now {
                guard let wakeUp = processes[index].wakeUp, wakeUp <= now else { continue }
                processes[index].wakeUp = nil
                handle(.wakeUp, index)
            }
        }

        private func handle(_ event: Event, _ index: Int) {
            switch event {
            case .wakeUp: run(processes[index].machine.wokeUp(now: now), index)
            case .joined(let map?): run(processes[index].machine.joined(map, now: now), index)
            case .joined(nil): run(processes[index].machine.joinFailed(now: now), index)
            case .beat(let reading?, let term):
                run(processes[index].machine.beatAnswered(reading, term: term, now: now), index)
            case .beat(nil, let term): run(processes[index].machine.beatFailed(term: term, now: now), index)
            case .evicted(let term): run(processes[index].machine.evictionEnded(term: term, now: now), index)
            case .left: processes[index].machine.left()
            }
        }

        func advance(_ seconds: Int) {
            for _ in 0..<(seconds * 10) {
                now = now + .milliseconds(100)
                serve()
                deliver()
            }
        }

        func fault() {
            let index = generator.below(processes.count)
            switch generator.below(5) {
            case 0: processes[index].stoppedUntil = now + .seconds(Int64(generator.below(20)))
            case 1: awayUntil = now + .seconds(Int64(generator.below(20)))
            case 2:
                // Killed and started again.
                var next = Process(processes[index].name)
                next.incarnation = processes[index].incarnation + 1
                (next.lastBeat, next.started) = (processes[index].lastBeat, now)
                processes[index] = next
                start(index)
            case 3: run(processes[index].machine.look(now: now), index)
            default: break
            }
        }
    }

    @Test(
        "Whatever is stopped, restarted or away: only the silent are evicted, and in the end all agree",
        arguments: 0..<4
    )
    func schedules(batch: Int) {
        for seed in (batch * 50)..<(batch * 50 + 50) {
            let world = World(seed: UInt64(seed), count: 2 + seed % 3)
            for index in world.processes.indices { world.start(index) }
            for _ in 0..<12 {
                world.advance(1 + world.generator.below(8))
                world.fault()
            }
            world.advance(60)
            #expect(world.faults == [], "seed \(seed)")
            let names = world.processes.map(\.name).sorted()
            #expect(world.database.maps.last?.instances == names, "seed \(seed)")
            for process in world.processes {
                #expect(process.published.last == world.database.maps.last, "seed \(seed)")
            }
        }
    }

    @Test("A database that is away evicts nobody, however long")
    func outage() {
        let world = World(seed: 1, count: 3)
        for index in world.processes.indices { world.start(index) }
        world.advance(20)
        let epoch = world.database.epoch
        for seconds in [1, 4, 6, 60, 600] {
            world.awayUntil = world.now + .seconds(Int64(seconds))
            world.advance(seconds + 20)
        }
        #expect(world.database.epoch == epoch)
        #expect(world.processes.map(\.evictions) == [0, 0, 0])
    }

    @Test("One that is stopped is evicted, by one of the others, and joins again when it goes on")
    func stopped() {
        let world = World(seed: 2, count: 3)
        for index in world.processes.indices { world.start(index) }
        world.advance(20)
        let epoch = world.database.epoch
        world.processes[0].stoppedUntil = world.now + .seconds(30)
        world.advance(10)
        #expect(world.database.epoch == epoch + 1)
        #expect(world.database.maps.last?.instances == ["sm-2", "sm-3"])
        world.advance(25)
        #expect(world.processes.map(\.evictions) == [1, 0, 0])
        #expect(world.database.epoch == epoch + 2)
        #expect(world.processes.allSatisfy { $0.published.last?.instances.count == 3 })
    }
}
