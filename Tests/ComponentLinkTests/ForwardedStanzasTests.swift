// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import TestSupport
import Testing
import XMPPCore

/// What other processes were handed and have not settled.
@Suite struct ForwardedStanzasTests {
    private let pair = FederationPair(local: "a.example", remote: "b.example")

    private func all(_ stanzas: inout ForwardedStanzas<Int>, _ isThere: (String) -> Bool = { _ in true }) -> [Int] {
        var found: [Int] = []
        while let next = stanzas.next(isThere) { found.append(next.item) }
        return found
    }

    @Test func `Each is sent once, in order, to who is there`() {
        var stanzas = ForwardedStanzas<Int>()
        for number in 0..<4 {
            _ = stanzas.add(number, size: 1, for: .federation(self.pair), to: number % 2 == 0 ? "x" : "y")
        }
        #expect(self.all(&stanzas) { $0 == "x" } == [0, 2])
        #expect(self.all(&stanzas) == [1, 3])
        #expect(self.all(&stanzas).isEmpty)
    }

    @Test(arguments: [(2, []), (3, [1, 2])] as [(UInt64, [Int])])
    func `All that is for users is sent again where a map was missed`(epoch: UInt64, again: [Int]) throws {
        var stanzas = ForwardedStanzas<Int>()
        let user = try BareJID("x@a.example")
        let first = OwnershipMap(epoch: 1, instances: ["y", "z"])
        let owner = try #require(first.owner(of: user))
        stanzas.mapChanged(to: first)
        for number in 1...2 { _ = stanzas.add(number, size: 1, for: .user(user), to: owner) }
        #expect(self.all(&stanzas) == [1, 2])
        stanzas.mapChanged(to: OwnershipMap(epoch: epoch, instances: ["y", "z"]))
        #expect(self.all(&stanzas) == again)
    }

    @Test func `The bound holds`() {
        var stanzas = ForwardedStanzas<Int>(maximumCount: 2, maximumBytes: 10)
        #expect(stanzas.add(1, size: 11, for: .federation(self.pair), to: "x") == nil)
        #expect(stanzas.add(1, size: 5, for: .federation(self.pair), to: "x") == 1)
        #expect(stanzas.add(2, size: 5, for: .federation(self.pair), to: "x") == 2)
        #expect(stanzas.add(3, size: 0, for: .federation(self.pair), to: "x") == nil)
        #expect(stanzas.take(1, by: "y") == nil && stanzas.take(1, by: "x") == 1)
        #expect(stanzas.add(3, size: 5, for: .federation(self.pair), to: "x") == 3)
    }

    @Test func `What was on the wire is in doubt, the rest is sent again by another`() {
        var stanzas = ForwardedStanzas<Int>()
        for number in 1...3 { _ = stanzas.add(number, size: 1, for: .federation(self.pair), to: "x") }
        #expect(self.all(&stanzas) == [1, 2, 3])
        stanzas.onTheWire(2, by: "x")
        stanzas.onTheWire(3, by: "y")
        #expect(stanzas.lost("x") == [2])
        #expect(stanzas.federationChanged(OwnershipMap(epoch: 1, instances: ["y"])).isEmpty)
        #expect(stanzas.instance(pinnedFor: self.pair) == "y")
        #expect(self.all(&stanzas) == [1, 3])
        #expect(stanzas.lost("y").isEmpty)
        #expect(stanzas.federationChanged(.none) == [1, 3], "nobody is left to send them")
        #expect(stanzas.isEmpty && stanzas.bytes == 0 && stanzas.instance(pinnedFor: self.pair) == nil)
    }

    @Test func `What was on the wire is sent again before what follows it, where that is wanted`() {
        var stanzas = ForwardedStanzas<Int>()
        for number in 1...2 { _ = stanzas.add(number, size: 1, for: .federation(self.pair), to: "x") }
        #expect(self.all(&stanzas) == [1, 2])
        _ = stanzas.add(3, size: 1, for: .federation(self.pair), to: "x")
        stanzas.onTheWire(1, by: "x")
        #expect(stanzas.lost("x", sendsDoubtfulAgain: true).isEmpty)
        #expect(stanzas.federationChanged(OwnershipMap(epoch: 1, instances: ["y"])).isEmpty)
        #expect(self.all(&stanzas) == [1, 2, 3])
        // What "y" has is in no doubt until it says so itself.
        #expect(stanzas.lost("y").isEmpty && stanzas.count == 3)
    }

    @Test func `What no process has can be taken out, in order, and nobody sends it`() throws {
        var stanzas = ForwardedStanzas<Int>()
        let user = try BareJID("ann@a.example")
        _ = stanzas.add(1, size: 1, for: .federation(self.pair), to: "x")
        _ = stanzas.add(2, size: 1, for: .user(user), to: "y")
        _ = stanzas.add(3, size: 1, for: .federation(self.pair), to: "z")
        #expect(self.all(&stanzas) { $0 == "z" } == [3])
        _ = stanzas.add(4, size: 1, for: .federation(self.pair), to: "x")
        #expect(stanzas.takeWaitingForFederation() == [1, 4])
        #expect(self.all(&stanzas) == [2])
        #expect(stanzas.count == 2 && stanzas.bytes == 2 && stanzas.instance(pinnedFor: self.pair) == "x")
        #expect(stanzas.take(3, by: "z") == 3 && stanzas.instance(pinnedFor: self.pair) == nil)
    }

    @Test func `What waits for who is away holds up nobody, and is not looked at for the others`() {
        var stanzas = ForwardedStanzas<Int>()
        for number in 0..<1_000 { _ = stanzas.add(number, size: 1, for: .federation(self.pair), to: "x") }
        let other = FederationPair(local: "a.example", remote: "c.example")
        for number in 0..<10 {
            _ = stanzas.add(-number, size: 1, for: .federation(other), to: "y")
            var asked = 0
            let next = stanzas.next { owner in
                asked += 1
                return owner == "y"
            }
            #expect(next?.item == -number && asked <= 2)
        }
        #expect(self.all(&stanzas) { $0 == "y" }.isEmpty)
        #expect(self.all(&stanzas) == Array(0..<1_000))
    }

    @Test func `Tokens follow the given number, also after all is forgotten`() {
        var stanzas = ForwardedStanzas<Int>(after: 41)
        #expect(stanzas.add(1, size: 1, for: .federation(self.pair), to: "x") == 42)
        stanzas.keepAlone { item, _ in item < 0 }
        #expect(stanzas.add(1, size: 1, for: .federation(self.pair), to: "x") == 43)
    }

    @Test func `What was answered before it was sent again is not sent`() {
        var stanzas = ForwardedStanzas<Int>()
        for number in 1...3 { _ = stanzas.add(number, size: 1, for: .federation(self.pair), to: "x") }
        #expect(self.all(&stanzas) == [1, 2, 3])
        #expect(stanzas.lost("x").isEmpty)
        #expect(stanzas.take(2, by: "x") == 2)
        #expect(self.all(&stanzas) == [1, 3])
    }

    @Test func `What is for another S2S than before waits until that one has settled its own, or too long`() {
        var stanzas = ForwardedStanzas<Int>()
        _ = stanzas.add(1, size: 1, for: .federation(self.pair), to: "x")
        #expect(self.all(&stanzas) == [1] && stanzas.mayHold(self.pair))
        _ = stanzas.hold(2, size: 1, for: self.pair, to: "y")
        #expect(self.all(&stanzas).isEmpty)
        #expect(stanzas.take(1, by: "x") == 1)
        #expect(self.all(&stanzas) { $0 == "y" } == [2] && stanzas.instance(pinnedFor: self.pair) == "y")
        _ = stanzas.hold(3, size: 1, for: self.pair, to: "x")
        stanzas.endHolds()
        #expect(self.all(&stanzas) { $0 == "y" } == [3] && !stanzas.mayHold(self.pair))
    }

    @Test("Whatever comes and goes, each is sent, settled or given back once, in order", arguments: 0..<50)
    func random(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var stanzas = ForwardedStanzas<Int>()
        var there: Set<String> = ["x"]
        var ended: [Int] = []
        var last = 0
        var atInstance: [String: [UInt64]] = [:]
        for _ in 0..<200 {
            switch random.below(7) {
            case 0, 1:
                let map = OwnershipMap(epoch: 1, instances: there)
                guard let owner = map.owner(of: self.pair.key) else { break }
                last += 1
                if let pinned = stanzas.instance(pinnedFor: self.pair), pinned != owner {
                    if stanzas.mayHold(self.pair) {
                        _ = stanzas.hold(last, size: 1, for: self.pair, to: owner)
                    } else {
                        _ = stanzas.add(last, size: 1, for: .federation(self.pair), to: pinned)
                    }
                } else {
                    _ = stanzas.add(last, size: 1, for: .federation(self.pair), to: owner)
                }
            case 2:
                var sent = 0
                while let (token, item, owner) = stanzas.next({ there.contains($0) }) {
                    #expect(item > sent && there.contains(owner))
                    sent = item
                    atInstance[owner, default: []].append(token)
                }
            case 3:
                guard let name = there.sorted().first, let token = atInstance[name]?.first else { break }
                atInstance[name]?.removeFirst()
                if let item = stanzas.take(token, by: name) { ended.append(item) }
            case 4:
                guard let name = there.sorted().last else { break }
                for token in atInstance[name] ?? [] { stanzas.onTheWire(token, by: name) }
            case 5: if random.below(3) == 0 { stanzas.endHolds() }
            default:
                let name = ["x", "y", "z"][random.below(3)]
                if there.remove(name) != nil {
                    atInstance[name] = nil
                    ended += stanzas.lost(name)
                } else {
                    there.insert(name)
                }
                ended += stanzas.federationChanged(OwnershipMap(epoch: 1, instances: there))
            }
        }
        ended += stanzas.all.map(\.item)
        #expect(ended.sorted() == Array(1..<last + 1))
    }
}
