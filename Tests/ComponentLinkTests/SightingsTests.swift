// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import ComponentLink

@Suite("What the routers say of a name")
struct SightingsTests {
    private func instance(_ epoch: String, names: [String] = []) -> LinkInstance {
        LinkInstance(name: "sm-1", epoch: epoch, kind: .internal, names: names)
    }

    @Test("All routers lead to it, until none does")
    func ways() {
        var seen = Sightings()
        seen.available(instance("a"), over: 1)
        seen.available(instance("a"), over: 2)
        #expect(seen.current?.epoch == "a" && seen.ways == [1, 2])
        seen.unavailable(over: 1)
        #expect(seen.current?.epoch == "a" && seen.ways == [2])
        seen.lost(2)
        #expect(seen.current == nil && seen.isEmpty)
    }

    @Test("A change of what it declares is told by each router, and the last word counts")
    func names() {
        var seen = Sightings()
        seen.available(instance("a"), over: 1)
        seen.available(instance("a"), over: 2)
        seen.available(instance("a", names: ["x"]), over: 2)
        #expect(seen.current?.names == ["x"] && seen.ways == [1, 2])
    }

    @Test("One router tells of a restart before the others")
    func restart() {
        var seen = Sightings()
        for way in 1...3 { seen.available(instance("a"), over: way) }
        seen.unavailable(over: 1)
        #expect(seen.current?.epoch == "a")
        seen.available(instance("b"), over: 1)
        #expect(seen.current?.epoch == "b" && seen.ways == [1])
        // One that stands still, and one that we link to anew, do not bring the former back.
        seen.lost(2)
        seen.available(instance("a"), over: 2)
        seen.unavailable(over: 1)
        #expect(seen.current == nil && !seen.isEmpty)
        seen.available(instance("b"), over: 1)
        seen.unavailable(over: 3)
        seen.available(instance("b"), over: 3)
        #expect(seen.current?.epoch == "b" && seen.ways == [1, 3])
    }

    @Test("Two that nobody tells the order of: who is known stays, until it gives no answer")
    func doubt() {
        var seen = Sightings()
        seen.available(instance("a"), over: 1)
        seen.available(instance("b"), over: 2)
        #expect(seen.current?.epoch == "a" && seen.ways == [1])
        seen.doubt()
        #expect(seen.current?.epoch == "b" && seen.ways == [2])
        seen.unavailable(over: 2)
        #expect(seen.current?.epoch == "a")
    }
}
