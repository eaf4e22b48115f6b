// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Config
import NIOEmbedded
import TestSupport
import Testing
import XML
import XMPPCore

@testable import SM

/// Random lives of one user's clients, and a database that comes and goes: no message is lost, and none is settled
/// for its sender before it is safe.
@Suite struct CustodySimulationTests {
    /// A client of the receiver, and what it got without acknowledging it.
    private struct Receiver {
        let client: TestClient
        var isAttached = true
        var pending: [String] = []
    }

    private struct Run {
        let world: World
        let ann: TestClient
        /// What ann sent since `<enable/>`; nil before it.
        var counted: [String]?
        var random: SeededGenerator
        var receivers: [Receiver] = []
        var sent: Set<String> = []
        var acknowledged: Set<String> = []
        var refused: Set<String> = []
        /// What was sent since `<enable/>`.
        var inCustody: Set<String> = []
        var next = 0

        init(seed: Int) {
            world = World(users: ["ann@localhost", "bob@localhost"])
            ann = TestClient.online(world, "ann@localhost")
            random = SeededGenerator(seed: UInt64(seed))
            begin()
        }

        /// Of the sender's first stanzas some are unsettled when it enables stream management, and when it resumes.
        private mutating func begin() {
            world.database.isSlow = Bool.random(using: &random)
            for _ in 0..<Int.random(in: 0..<4, using: &random) { send() }
            guard Bool.random(using: &random) else { return }
            enableSender()
            for _ in 0..<Int.random(in: 0..<3, using: &random) { send() }
            breakSender()
        }

        mutating func step() {
            switch Int.random(in: 0..<22, using: &random) {
            case 20: enableSender()
            case 21: breakSender()
            case 0..<7: send()
            case 7..<9 where receivers.count < 3: login()
            case 9..<12: pick { $0.acknowledge(at: $1) }
            case 12..<14: pick { $0.detach(at: $1) }
            case 14..<16: pick { $0.resume(at: $1) }
            case 16: pick { $0.close(at: $1) }
            case 17: world.advance(seconds: Int64.random(in: 1...400, using: &random))
            case 18: world.database.isAway.toggle()
            default:
                if world.database.isSlow { settleDown() } else { world.database.isSlow = true }
            }
        }

        mutating func settleDown() {
            world.database.isSlow = false
            for _ in 0..<20 {
                world.database.answer()
                world.loop.run()
            }
        }

        /// Everybody goes, the database is back, and all writes end.
        mutating func finish() {
            world.database.isAway = false
            enableSender()
            settleDown()
            for index in receivers.indices { detach(at: index) }
            for _ in 0..<4 {
                world.advance(seconds: 300)
                settleDown()
            }
            noteErrors()
        }

        private mutating func send() {
            next += 1
            sent.insert("\(next)")
            let resources = ["bob@localhost", "bob@localhost/r1", "bob@localhost/r2"]
            let to = resources.randomElement(using: &random) ?? resources[0]
            let message = "<message to='\(to)' type='chat' id='\(next)'><body>\(next)</body></message>"
            counted?.append(message)
            if counted != nil { inCustody.insert("\(next)") }
            ann.send(message)
            noteErrors()
        }

        /// Whatever came before it may be unsettled still.
        private mutating func enableSender() {
            guard counted == nil else { return }
            ann.enable()
            counted = []
        }

        /// The sender's connection breaks, and it sends again what it was not told to be settled.
        private mutating func breakSender() {
            guard let counted else { return }
            noteErrors()
            ann.detach()
            ann.resume(h: UInt32(ann.last ?? 0))
            guard let h = ann.resumedAt else { return }
            for message in counted.dropFirst(Int(h)) { ann.send(message) }
            noteErrors()
        }

        mutating func noteErrors() {
            for stanza in (try? ann.stanzas()) ?? [] where stanza.type == "error" { refused.insert(stanza.id ?? "") }
        }

        private mutating func login() {
            let client = TestClient(world, "bob@localhost", resource: "r\(receivers.count)x\(next)")
            settleDown()
            _ = client.take()
            guard client.jid != nil else { return }
            client.enable()
            client.send("<presence/>")
            receivers.append(Receiver(client: client))
        }

        private mutating func pick(_ body: (inout Run, Int) -> Void) {
            guard !receivers.isEmpty else { return }
            body(&self, Int.random(in: 0..<receivers.count, using: &random))
        }

        private mutating func hear(at index: Int) {
            guard receivers[index].isAttached else { return }
            receivers[index].pending += bodies(receivers[index].client.take())
        }

        private mutating func acknowledge(at index: Int) {
            guard receivers[index].isAttached else { return }
            hear(at: index)
            receivers[index].client.acknowledge(UInt32(receivers[index].client.last ?? 0))
            count(at: index)
        }

        private mutating func count(at index: Int) {
            acknowledged.formUnion(receivers[index].pending)
            receivers[index].pending = []
        }

        private mutating func detach(at index: Int) {
            guard receivers[index].isAttached else { return }
            hear(at: index)
            receivers[index].client.detach()
            receivers[index].isAttached = false
        }

        private mutating func resume(at index: Int) {
            guard !receivers[index].isAttached else { return }
            let client = receivers[index].client
            client.resume(h: UInt32(client.last ?? 0))
            guard client.resumeFailed == nil else {
                receivers.remove(at: index)
                return
            }
            receivers[index].isAttached = true
            count(at: index)
        }

        private mutating func close(at index: Int) {
            if receivers[index].isAttached { receivers[index].client.close() }
            receivers.remove(at: index)
        }
    }

    @Test(
        "Every message is acknowledged, in the spool, or refused; nothing is settled that is none of it",
        arguments: 0..<20
    )
    func nothingIsLost(seed: Int) {
        var run = Run(seed: seed)
        for _ in 0..<400 { run.step() }
        run.finish()
        let spool = Set(bodies(run.world.database.spool(World.bare("bob@localhost"))))
        let kept = run.acknowledged.union(spool).union(run.refused)
        #expect(run.sent.subtracting(kept).isEmpty, "lost: \(run.sent.subtracting(kept).sorted())")
        #expect(spool.isDisjoint(with: run.refused))
        #expect(run.ann.takeSettled() == run.ann.sent)
        #expect(run.world.server.sessions.count == 1)
        #expect(run.world.database.spool(World.bare("bob@localhost")).count == spool.count)
    }

    @Test("What a settled message became is safe at that moment, whatever happens next", arguments: 0..<20)
    func settledIsSafe(seed: Int) {
        var run = Run(seed: 1_000 + seed)
        for _ in 0..<200 {
            run.step()
            run.noteErrors()
            let user = run.world.server.users[World.bare("bob@localhost")]
            let held = (user?.sessions ?? []).flatMap { session in
                session.outbox.entries.map { World.text($0.payload.stanza) }
            }
            let homeless = (user?.spool.homeless ?? []).map { World.text($0.stanza) }
            let safe = Set(bodies(run.world.database.spool(World.bare("bob@localhost")))).union(run.acknowledged)
                .union(run.refused)
            let known = safe.union(bodies(held + homeless))
            // Presence came first: message i is the stanza i + 1.
            let settled = run.ann.takeSettled()
            guard settled > 1 else { continue }
            let unsafe = (1...(settled - 1)).map { "\($0)" }.filter { !known.contains($0) && run.sent.contains($0) }
            let writing = user?.spool.writes ?? 0
            #expect(unsafe.isEmpty || writing > 0, "settled and nowhere: \(unsafe)")
            let promised = unsafe.filter(run.inCustody.contains)
            #expect(promised.isEmpty, "settled and nowhere: \(promised)")
            let early = (1...(settled - 1)).map { "\($0)" }.filter { run.inCustody.contains($0) && !safe.contains($0) }
            #expect(early.isEmpty, "settled and in memory only: \(early)")
        }
    }
}
