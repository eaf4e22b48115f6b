// SPDX-License-Identifier: Apache-2.0

/// What the routers say of one name: who has it, and which of them lead there.
///
/// They do not learn of a restart at the same moment, and one that stood still may go on telling of a process that is
/// long gone. That a start of a process has followed another one is certain where one router told of both: the former
/// does not come back. Else who is known stays, until no router tells of it any more. A pure value.
struct Sightings {
    /// So many former starts are known.
    private static let formerEpochs = 16

    private var seen: [(way: Int, instance: LinkInstance)] = []
    /// The epoch that each router told of last, also of one that is gone.
    private var told: [Int: String] = [:]
    private var former: [String] = []
    /// Who has the name; nil: nobody.
    private(set) var current: LinkInstance?

    /// Nobody tells of anybody.
    var isEmpty: Bool { self.seen.isEmpty }

    /// The routers that lead to `current`, in the order in which they told.
    var ways: [Int] {
        self.seen.filter { $0.instance.epoch == self.current?.epoch }.map(\.way)
    }

    /// A router told that an instance or a component is bound, or has changed.
    mutating func available(_ instance: LinkInstance, over way: Int) {
        if let before = self.told.updateValue(instance.epoch, forKey: way), before != instance.epoch {
            self.former.removeAll { $0 == before || $0 == instance.epoch }
            self.former.append(before)
            if self.former.count > Self.formerEpochs { self.former.removeFirst() }
        }
        if let index = self.seen.firstIndex(where: { $0.way == way }) {
            if self.seen[index].instance.epoch == instance.epoch {
                self.seen[index].instance = instance
                if self.current?.epoch == instance.epoch { self.current = instance }
                return
            }
            self.seen.remove(at: index)
        }
        self.seen.append((way, instance))
        self.choose()
    }

    /// A router told that it is gone.
    mutating func unavailable(over way: Int) {
        self.seen.removeAll { $0.way == way }
        self.choose()
    }

    /// We are cut off from a router.
    mutating func lost(_ way: Int) {
        self.told[way] = nil
        self.unavailable(over: way)
    }

    /// Who is known gives no answer: another one, if any router tells of one, is believed.
    mutating func doubt() {
        guard let other = self.candidates.last(where: { $0.epoch != self.current?.epoch }) else { return }
        self.current = other
    }

    private var candidates: [LinkInstance] {
        self.seen.map(\.instance).filter { !self.former.contains($0.epoch) }
    }

    private mutating func choose() {
        let candidates = self.candidates
        if let current, candidates.contains(where: { $0.epoch == current.epoch }) { return }
        self.current = candidates.last
    }
}
