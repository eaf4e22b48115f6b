// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import XMPPCore

@testable import ComponentLink

@Suite struct OwnershipMapTests {
    private static func name(_ number: Int) -> String { "sm-\(number).jackdaw.internal" }

    private static func map(_ numbers: some Sequence<Int>) -> OwnershipMap {
        OwnershipMap(epoch: 1, instances: numbers.map { name($0) })
    }

    /// Addresses as people have them, alike in most of their bytes.
    private static let users: [BareJID] = {
        let given = ["anna", "ben", "carla", "david", "eva", "felix", "gina", "hans", "ida", "jan"]
        let family = ["meier", "schmidt", "weber", "wagner", "becker", "bauer", "koch", "wolf", "klein", "braun"]
        let domains = ["example.com", "chat.example.com", "example.org", "localhost"]
        return (0..<10_000).map { number in
            let local =
                switch number % 3 {
                case 0: "u\(number)"
                case 1: "\(given[number / 3 % 10]).\(family[number / 30 % 10])\(number / 300)"
                default: "\(family[number / 3 % 10])\(number)"
                }
            return BareJID(preparedLocal: local, domain: domains[number % 4])
        }
    }()

    @Test("The owner of an address never changes silently")
    func vectors() {
        let vectors: [(address: String, hash: UInt64, owners: [Int])] = [
            ("juliet@localhost", 0x904c_9bf3_7f89_d04b, [1, 1, 1, 1, 1, 1, 1, 1]),
            ("romeo@localhost", 0x74f2_1358_155c_5d8c, [1, 1, 1, 1, 1, 6, 6, 6]),
            ("u1@example.com", 0x3848_b107_ceb9_786a, [1, 2, 2, 4, 4, 4, 4, 4]),
            ("u2@example.com", 0x0a08_abbf_3d46_1967, [1, 1, 1, 1, 5, 5, 5, 5]),
            ("u10000@example.com", 0xfbfd_3022_3707_0f9a, [1, 2, 2, 2, 2, 2, 7, 7]),
            ("bücher@straße.example", 0xc70d_5f23_5707_a29d, [1, 1, 1, 1, 1, 6, 6, 6]),
            ("localhost", 0xdb3f_0534_03ad_937a, [1, 1, 3, 4, 4, 4, 4, 4]),
            ("a@b", 0xe6ac_9919_04e0_0a72, [1, 1, 1, 1, 1, 6, 6, 6]),
            ("", 0xcbf2_9ce4_8422_2325, [1, 1, 3, 4, 4, 4, 4, 4]),
        ]
        for (address, hash, owners) in vectors {
            #expect(OwnershipKey(address.utf8).hash == hash)
            for count in 1...8 {
                #expect(Self.map(1...count).owner(of: address.utf8) == Self.name(owners[count - 1]), "\(address)")
            }
        }
    }

    @Test("An address and its bytes have the same owner", arguments: ["juliet@localhost", "localhost", "ö@ü.example"])
    func forms(address: String) throws {
        let jid = try BareJID(address)
        #expect(OwnershipKey(jid) == OwnershipKey(address.utf8))
        #expect(Self.map(1...5).owner(of: jid) == Self.map(1...5).owner(of: Array(address.utf8)))
    }

    @Test("Nobody owns anything without instances; one instance owns all")
    func few() {
        #expect(OwnershipMap.none.owner(of: "juliet@localhost".utf8) == nil)
        #expect(Self.users.allSatisfy { Self.map([7]).owner(of: $0) == Self.name(7) })
    }

    @Test("The order in which instances are given does not count, nor do repetitions")
    func order() {
        let map = Self.map([10, 2, 1, 2])
        #expect(map == Self.map([1, 2, 10]))
        #expect(map.instances == [1, 10, 2].map { Self.name($0) })
        #expect(map.contains(Self.name(10)) && !map.contains(Self.name(3)))
        #expect(map != OwnershipMap(epoch: 2, instances: map.instances))
    }

    /// Chance gives more than this in one of ten thousand cases (chi-square with 0 to 7 degrees of freedom).
    private static let chiSquareBounds = [0, 15.1, 18.4, 21.1, 23.5, 25.7, 27.9, 29.9]

    @Test("Instances share the users evenly", arguments: 1...8)
    func balance(count: Int) {
        let map = Self.map(1...count)
        var shares: [String: Int] = [:]
        for user in Self.users { shares[map.owner(of: user) ?? "", default: 0] += 1 }
        #expect(shares.keys.sorted() == map.instances)
        let expected = Double(Self.users.count) / Double(count)
        let chiSquare = shares.values.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        #expect(chiSquare <= Self.chiSquareBounds[count - 1], "\(shares)")
    }

    @Test("An instance that joins takes its share, and nobody else moves", arguments: 1...7)
    func joining(count: Int) {
        let (before, after) = (Self.map(1...count), Self.map(1...(count + 1)))
        let moved = Self.users.filter { before.owner(of: $0) != after.owner(of: $0) }
        #expect(moved.allSatisfy { after.owner(of: $0) == Self.name(count + 1) })
        let expected = Double(Self.users.count) / Double(count + 1)
        // Four standard deviations of a share.
        #expect(abs(Double(moved.count) - expected) < 4 * expected.squareRoot(), "\(moved.count)")
    }

    @Test("Only the users of an instance that leaves move, and to all others", arguments: 2...8)
    func leaving(count: Int) {
        let before = Self.map(1...count)
        for gone in 1...count {
            let after = Self.map((1...count).filter { $0 != gone })
            var heirs: Set<String> = []
            for user in Self.users.prefix(3_000) {
                guard let old = before.owner(of: user), let new = after.owner(of: user) else {
                    Issue.record("\(user) has no owner")
                    continue
                }
                if old == Self.name(gone) { heirs.insert(new) } else if new != old { Issue.record("\(user) moved") }
            }
            #expect(heirs.sorted() == after.instances)
        }
    }

    @Test("Random joins and departures move no user between two that stay")
    func randomChanges() {
        var generator = SeededGenerator(seed: 6)
        var numbers: Set<Int> = [1]
        for _ in 0..<50 {
            let before = Self.map(numbers)
            let number = generator.below(8) + 1
            if numbers.contains(number), numbers.count > 1 { numbers.remove(number) } else { numbers.insert(number) }
            let after = Self.map(numbers)
            for user in Self.users.prefix(500) {
                guard let old = before.owner(of: user), let new = after.owner(of: user) else {
                    Issue.record("\(user) has no owner")
                    continue
                }
                #expect(old == new || !(before.contains(new) && after.contains(old)))
            }
        }
    }
}
